import pytest

from oomctl.describe.evidence_text import counts_text
from oomctl.oom.counts import Difference, KillCounts
from oomctl.oom.enums import CountRule, CountSource

TRACING, LOG, EVENTS, _VMSTAT = CountSource
FOUR = dict.fromkeys(CountSource, 2)


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        ((TRACING, 1, CountRule.REPEATED), "1 first victim of a group is counted twice"),
        ((TRACING, 2, CountRule.REPEATED), "2 first victims of groups are counted twice"),
        ((TRACING, -2, CountRule.SHARER), "2 sharers killed without a record and a count"),
        ((TRACING, -1, CountRule.EXITING), "1 exiting task only marked"),
        ((LOG, 3, CountRule.LOST), "kernel log lost 3"),
        ((TRACING, 3, CountRule.SILENT), "bpf missed 3, programs were silent"),
        ((EVENTS, 1, CountRule.ELSEWHERE), "1 kill elsewhere on the machine"),
        ((EVENTS, 1, CountRule.UNPLACED), "1 kill in a cgroup that is gone, new or unknown"),
        ((EVENTS, 2, CountRule.UNPLACED), "2 kills in cgroups that are gone, new or unknown"),
        ((LOG, 1, None), "NOT EXPLAINED: kernel log has 1 fewer than the kernel counted"),
        ((LOG, -2, None), "NOT EXPLAINED: kernel log has 2 more than the kernel counted"),
    ],
)
def test_every_difference_has_its_words(difference, text):
    found = counts_text(KillCounts(FOUR, (Difference(*difference),)))
    assert found == f"bpf 2, kernel log 2, memory.events 2, vmstat 2; {text}"


def test_what_is_unknown_is_a_dash_and_suppressed_reports_are_named():
    found = KillCounts({TRACING: None, LOG: 0}, (), suppressed=1)
    assert counts_text(found) == "bpf -, kernel log 0; 1 report suppressed by the rate limit"
