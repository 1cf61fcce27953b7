"""OOM reports that oomctl provokes fail no scanner of kernel logs; other faults still do."""

from pathlib import Path

import pytest

from tests.scanners import cut, found

CORPUS = Path(__file__).parent / "corpus"
REPORTS = [
    (CORPUS / f"{name}.log").read_text()
    for name in ("6.12-limit-dmesg", "6.12-group-kmsg", "7.3-shmem-dmesg", "6.12-sysrq-dmesg")
]
BEGIN = "[   10.000000] oomctl: begin lock.busy; OOM reports are expected\n"
END = "[   20.000000] oomctl: end lock.busy\n"
FAULTS = (
    "[   11.0] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n",
    "[   11.0] BUG: kernel NULL pointer dereference, address: 0000000000000000\n",
    "[   11.0] WARNING: CPU: 1 PID: 7 at mm/oom_kill.c:1 out_of_memory+0x1/0x2\n",
    "[   11.0] Oops: 0002 [#1] PREEMPT SMP\n",
)


@pytest.mark.parametrize("report", REPORTS)
def test_an_expected_report_fails_no_scanner(report):
    assert len(found(report)) >= 2
    assert found(cut(f"before\n{BEGIN}{report}{END}after\n")) == []
    assert cut(f"before\n{BEGIN}{END}after\n") == f"before\n{BEGIN}{END}after\n"


@pytest.mark.parametrize("report", REPORTS)
def test_another_report_still_does(report):
    outside = f"{BEGIN}{END}{report}"
    assert cut(outside) == outside
    assert found(cut(f"{BEGIN}{report}{END}{report}")) == found(report)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("end", [END, ""])
def test_a_fault_within_a_case_is_not_cut(fault, end):
    half = REPORTS[0][: REPORTS[0].index("memory: usage")]
    for log in (
        f"{BEGIN}{fault}{end}",
        f"{BEGIN}{half}\n{fault}{end}",
        f"{BEGIN}{fault}{half}{end}",
    ):
        assert fault.strip() in found(cut(log))


def test_a_report_without_an_end_hides_no_later_one():
    half = REPORTS[0][: REPORTS[0].index("memory: usage")]
    assert found(cut(f"{BEGIN}{half}\n{END}{REPORTS[0]}")) == found(REPORTS[0])
