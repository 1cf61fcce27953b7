"""Two sources, one list of kills."""

from dataclasses import replace

from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import OomKill, reconcile, threads_of, traced

SEEN = OomKill(5, 7, "t", "victim", 4096, cgroup="/t/a", invoker_pid=50, order=0, traced=True)
SAID = OomKill(
    9, 7, "t", "victim", 8192, cgroup="/t/a", order=0, memcg="/t", group="/t", logged=True
)


def test_what_both_tell_of_is_one_kill_with_the_facts_of_both():
    (one,) = reconcile([SEEN], [SAID])
    assert one.traced
    assert one.logged
    assert (one.at_ns, one.rss, one.invoker_pid) == (5, 8192, 50)
    assert (one.memcg, one.group) == ("/t", "/t")


def test_what_one_of_them_tells_of_is_kept():
    other = replace(SAID, pid=8)
    assert reconcile([SEEN], []) == [SEEN]
    assert reconcile([], [SAID]) == [SAID]
    assert reconcile([SEEN], [other]) == [SEEN, other]


def test_a_task_that_the_log_names_is_a_victim_whatever_was_missed_of_it():
    for role in ("sharer", "exiting"):
        (one,) = reconcile([replace(SEEN, role=role)], [SAID])
        assert one.role == "victim"


def test_a_pid_that_comes_twice_is_matched_in_order():
    later = replace(SEEN, at_ns=50), replace(SAID, at_ns=90, rss=1)
    assert [one.rss for one in reconcile([SEEN, later[0]], [SAID, later[1]])] == [8192, 1]


def test_a_finished_stretch_also_has_those_that_have_not_ended():
    kinds = EventKind.OOM_BEGIN, EventKind.SIGKILL, EventKind.MARK_VICTIM, EventKind.OOM_END
    pids = 50, 70, 70, 50
    events = [
        Event(kind, at, pid, 7 if pid == 70 else pid, "t", 9, invoker_pid=50, order=3)
        for at, (kind, pid) in enumerate(zip(kinds, pids, strict=True))
    ]
    (one,) = traced(events)
    assert (one.pid, one.role, one.order, one.exited_after_ns) == (7, "victim", 3, None)
    assert one.traced
    assert threads_of(events) == {70: 7, 50: 50}
