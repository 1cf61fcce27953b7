"""Four counts of the same kills: which differences a rule explains, and which are flagged."""

from dataclasses import replace

import pytest

from oomctl.oom.counts import (
    CounterRises,
    CountFacts,
    Difference,
    EventCounter,
    KillTally,
    placed,
    reconcile_counts,
)
from oomctl.oom.enums import CountRule, CountSource, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from tests.klogs import Log, group_log

TRACING, LOG, EVENTS, VMSTAT = CountSource
BPF_LOST = Difference(TRACING, 1, CountRule.LOST)


@pytest.mark.parametrize(
    ("counts", "facts", "expected"),
    [
        # each has what the kernel counted
        ((2, 2, 2, 2), CountFacts(), []),
        ((0, 0, 0, 0), CountFacts(), []),
        ((0, 0, 0, 0), CountFacts(events_lost=9, records_lost=9, unplaced=9), []),
        # a source that cannot tell is held against nothing
        ((None, 2, None, 2), CountFacts(), []),
        ((2, None, 2, None), CountFacts(), []),
        ((2, 2, 2, None), CountFacts(), []),
        # a group of two: its first victim twice
        ((2, 3, 3, 3), CountFacts(repeated=1), [(TRACING, 1, CountRule.REPEATED)]),
        ((2, 3, 3, 3), CountFacts(), [(TRACING, 1, None)]),
        (
            (3, 3, 3, 3),
            CountFacts(repeated=1),
            [(TRACING, 1, CountRule.REPEATED), (TRACING, -1, None)],
        ),
        # a sharer and an exiting task are traced only
        ((2, 1, 1, 1), CountFacts(sharers=1), [(TRACING, -1, CountRule.SHARER)]),
        ((2, 1, 1, 1), CountFacts(exiting=1), [(TRACING, -1, CountRule.EXITING)]),
        ((2, 1, 1, 1), CountFacts(), [(TRACING, -1, None)]),
        (
            (4, 3, 3, 3),
            CountFacts(repeated=1, sharers=2),
            [(TRACING, 1, CountRule.REPEATED), (TRACING, -2, CountRule.SHARER)],
        ),
        # what was lost explains that as much is missing, not more, and nothing too much
        ((1, 2, 2, 2), CountFacts(events_lost=5), [(TRACING, 1, CountRule.LOST)]),
        ((0, 2, 2, 2), CountFacts(events_lost=1), [(TRACING, 2, None)]),
        ((3, 2, 2, 2), CountFacts(events_lost=5), [(TRACING, -1, None)]),
        ((2, 1, 2, 2), CountFacts(records_lost=40), [(LOG, 1, CountRule.LOST)]),
        ((2, 1, 2, 2), CountFacts(), [(LOG, 1, None)]),
        ((2, 3, 2, 2), CountFacts(records_lost=40), [(LOG, -1, None)]),
        ((0, 2, 2, 2), CountFacts(silent=True), [(TRACING, 2, CountRule.SILENT)]),
        # elsewhere on the machine
        ((2, 2, 1, 2), CountFacts(outside=1), [(EVENTS, 1, CountRule.ELSEWHERE)]),
        ((2, 2, 1, 2), CountFacts(), [(EVENTS, 1, None)]),
        (
            (2, 2, 2, 2),
            CountFacts(outside=1),
            [(EVENTS, 1, CountRule.ELSEWHERE), (EVENTS, -1, None)],
        ),
        # in a cgroup that is gone: its counter may have gone with it
        ((2, 2, 1, 2), CountFacts(unplaced=1), [(EVENTS, 1, CountRule.UNPLACED)]),
        ((2, 2, 2, 2), CountFacts(unplaced=1), []),
        ((2, 2, 0, 2), CountFacts(unplaced=1), [(EVENTS, 2, None)]),
        (
            (3, 3, 1, 3),
            CountFacts(outside=1, unplaced=1),
            [(EVENTS, 1, CountRule.ELSEWHERE), (EVENTS, 1, CountRule.UNPLACED)],
        ),
        # a kill that only /proc/vmstat has
        ((1, 1, 1, 2), CountFacts(), [(TRACING, 1, None), (LOG, 1, None), (EVENTS, 1, None)]),
    ],
)
def test_a_difference_is_explained_by_a_rule_or_flagged(counts, facts, expected):
    given = dict(zip(CountSource, counts, strict=True))
    assert list(reconcile_counts(given, facts)) == [Difference(*each) for each in expected]


def test_without_vmstat_the_log_is_the_measure():
    counts = {TRACING: 1, LOG: 2, EVENTS: 2, VMSTAT: None}
    assert reconcile_counts(counts, CountFacts()) == (Difference(TRACING, 1, None),)
    assert reconcile_counts({TRACING: 1, LOG: None}, CountFacts()) == ()


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ("/a", (0, 0)),
        ("/a/b", (0, 0)),
        ("/ab", (1, 0)),
        ("/", (1, 0)),
        (None, (0, 1)),
        ("/gone/x", (0, 1)),
        ("/new", (0, 1)),
        ("/bare/x", (1, 0)),
    ],
)
def test_a_kill_is_inside_outside_or_unplaced(cgroup, expected):
    counters = {
        "/a": EventCounter(1, 3),
        "/gone": EventCounter(1, None, same=False),
        "/new": EventCounter(None, 1, same=False),
        "/bare": EventCounter(None, None),
    }
    assert placed({cgroup: 1}, counters) == expected
    assert placed({cgroup: 3}, counters) == tuple(3 * number for number in expected)


@pytest.mark.parametrize(
    ("counter", "rise"),
    [
        (EventCounter(1, 3), 2),
        (EventCounter(2, 3, same=False), 3),
        (EventCounter(2, None, same=False), 0),
        (EventCounter(None, 1, same=False), 1),
        (EventCounter(None, None), 0),
    ],
)
def test_a_counter_begins_anew_with_its_cgroup(counter, rise):
    assert counter.rise == rise


KILL = OomKill(1, 7, "hog", Role.VICTIM, 1, cgroup="/g/a", traced=True, logged=True)
COUNTERS = {"/g": EventCounter(0, 3)}


def tally(records, kills, vmstat=3, counters=COUNTERS, lost=(0, 0), threads=None, **more):
    gathered = KillTally()
    gathered.add_records(records, threads or {})
    gathered.add_kills(kills)
    more = {"tracing": True, "silent": False} | more
    return gathered.reconcile(CounterRises(vmstat, counters), lost, **more)


def test_without_any_memory_events_there_is_no_count():
    assert CounterRises(1, {}).events is None
    assert CounterRises(1, {"/bare": EventCounter(None, None)}).events is None
    assert (
        CounterRises(1, {"/a": EventCounter(0, 0), "/b": EventCounter(None, 2, False)}).events == 2
    )


def test_the_first_victim_of_a_group_has_two_records():
    kills = [KILL, replace(KILL, pid=8)]
    found = tally(group_log(), kills)
    assert dict(found.counts) == {TRACING: 2, LOG: 3, EVENTS: 3, VMSTAT: 3}
    assert found.differences == (Difference(TRACING, 1, CountRule.REPEATED),)
    assert found.unexplained == ()
    # its memory.events counts both
    found = tally(group_log(), kills, counters={"/other": EventCounter(0, 0)})
    assert Difference(EVENTS, 3, CountRule.ELSEWHERE) in found.differences
    assert found.unexplained == ()


def test_a_thread_of_the_first_victim_is_that_process():
    said = Log()
    said.killed(7)
    said.group("/g")
    said.killed(71)
    assert (
        tally(said.records, [KILL], 2, {"/g": EventCounter(0, 2)}, threads={71: 7}).unexplained
        == ()
    )
    found = tally(said.records, [KILL], 2, {"/g": EventCounter(0, 2)})
    assert found.unexplained == (Difference(TRACING, 1, None),)


def test_a_pid_that_is_used_again_is_another_process():
    line = "Out of memory: Killed process 7 (hog) total-vm:1kB, anon-rss:4kB, file-rss:0kB, "
    records = [Record(n, n * 20_000_000, line + "shmem-rss:0kB") for n in range(2)]
    counters = {"/g": EventCounter(0, 2)}
    assert tally(records, [KILL, KILL], 2, counters).differences == ()


def test_a_kill_that_tracing_missed_is_not_counted_as_traced():
    kills = [replace(KILL, traced=False), replace(KILL, pid=8)]
    found = tally(group_log(), kills, silent=True)
    assert found.counts[TRACING] == 1
    assert found.differences == (
        Difference(TRACING, 1, CountRule.REPEATED),
        Difference(TRACING, 1, CountRule.SILENT),
    )


def test_kills_without_a_record_cannot_be_placed():
    found = tally([], [], vmstat=2, counters={"/g": EventCounter(0, 0)}, lost=(5, 5))
    assert [(each.source, each.rule) for each in found.differences] == [
        (TRACING, CountRule.LOST),
        (LOG, CountRule.LOST),
        (EVENTS, CountRule.UNPLACED),
    ]


def test_many_places_are_remembered_as_one():
    gathered = KillTally()
    gathered.add_kills(replace(KILL, pid=n, cgroup=f"/short-{n}") for n in range(10_000))
    assert len(gathered._places) <= 4097
    found = gathered.reconcile(CounterRises(10_000, {}), (0, 0), tracing=True, silent=False)
    assert found.counts[TRACING] == 10_000


def test_reports_that_were_left_out_are_counted():
    records = [Record(1, 1, "oom_kill_process: 3 callbacks suppressed")]
    assert tally(records, [], vmstat=0, counters={}).suppressed == 3
