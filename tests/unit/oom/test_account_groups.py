"""Kills of a whole group, and of tasks that share memory, in the report of a call."""

from dataclasses import replace

import pytest

from oomctl.oom.account import account
from oomctl.oom.attribution import PostRun
from oomctl.oom.event import EventKind
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import Record
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task
from tests.unit.oom.observations import (
    after,
    event,
    kill_events,
    logged,
    observation,
)


def grouped(*pids, by="/t"):
    tasks = [Task(pid, f"t{pid}", "/t", 0, pid << 20, 0, 0, 0.0) for pid in pids]
    return Candidates(tasks, 1, 4096, frozenset({by}))


def test_a_task_that_shares_memory_and_is_of_the_killed_group_is_no_collateral():
    """It is gone before the group is scanned, so that it is not marked and no line names it."""
    events = *kill_events(8), event(EventKind.SIGKILL, 1220, 7), *kill_events(6, at=1300)
    one = observation(*events, log=logged(8, 6), candidates=grouped(6, 7, 8), group_kills=1)
    report = account(one, (), after(*one.events, ended=dict.fromkeys((6, 7, 8), 1500)))
    assert report.collateral == frozenset()
    assert report.as_predicted is True
    assert report.verdict.name == "group-killed"
    assert report.evidence.agree is True


def test_a_first_victim_that_is_told_again_by_a_thread_is_one_kill():
    """Its leader had ended when its group was killed: the line names the thread with the memory."""
    hits = [replace(hit, pid=88) for hit in kill_events(8, at=1400)]
    events = (*kill_events(8), *kill_events(6, at=1300), *hits)
    one = observation(*events, log=logged(8, 6, 88), candidates=grouped(6, 8), group_kills=1)
    report = account(one, (), after(*one.events, ended=dict.fromkeys((6, 8), 1500)))
    assert [kill.pid for kill in report.kills] == [8, 6]
    assert report.evidence.agree is True
    assert report.evidence.seen == report.evidence.logged == {6, 8}


def test_a_member_of_a_killed_group_that_has_ended_by_itself_is_no_miss():
    """A child that dies with its parent may be gone before the kernel comes to it."""
    one = observation(
        *kill_events(8), *kill_events(6), log=logged(8, 6), candidates=grouped(6, 7, 8)
    )
    known = after(*one.events, ended={6: 1500, 7: 1500, 8: 1500})
    report = account(replace(one, group_kills=1), (), known)
    assert (report.victims, report.gone) == ({6, 8}, {7})
    assert report.as_predicted is True
    assert report.verdict.name == "group-killed"
    alive = after(*one.events, ended={6: 1500, 8: 1500})
    missed = account(replace(one, group_kills=1), (), alive)
    assert (missed.gone, missed.as_predicted, missed.verdict.name) == (set(), False, "wrong-victim")


def test_a_group_that_another_caller_killed_has_no_members_here():
    """Of two that are too close to call this caller got one, and then another the other's group."""
    tasks = [
        Task(7, "t7", "/t", 0, 8 << 12, 0, 0, 0.0, slack=1 << 13),
        Task(8, "t8", "/t/g", 0, 9 << 12, 0, 0, 0.0, slack=1 << 13),
        Task(9, "t9", "/t/g", 0, 0, 0, 0, 0.0),
    ]
    of_other = [replace(hit, invoker_pid=77) for pid in (8, 9) for hit in kill_events(pid, at=1300)]
    one = observation(
        *kill_events(7),
        *of_other,
        log=logged(7),
        candidates=Candidates(tasks, 1, 4096, frozenset({"/t/g"})),
        group_kills=1,
    )
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500, 9: 1500}))
    assert report.prediction.victims == (8, 9)
    assert (report.victims, report.gone) == ({7}, set())
    assert report.verdict.name == "killed"


def test_the_group_that_the_log_names_counts_not_the_predicted_one():
    """Of two that are too close to call the kernel took the one that is in a group."""
    tasks = [
        Task(7, "t7", "/t", 0, 9 << 12, 0, 0, 0.0),
        Task(8, "t8", "/t/g", 0, 8 << 12, 0, 0, 0.0, slack=1 << 13),
        Task(9, "t9", "/t/g", 0, 0, 0, 0, 0.0, shares=8),
    ]
    events = *kill_events(8), event(EventKind.SIGKILL, 1220, 9)
    group = Record(9, 9, "Tasks in /t/g are going to be killed due to memory.oom.group set")
    log = KernelLog((*logged(8).records, group, *logged(8).records))
    one = observation(
        *events, log=log, candidates=Candidates(tasks, 1, 4096, frozenset({"/t/g"})), group_kills=1
    )
    report = account(one, (), after(*one.events, ended=dict.fromkeys((8, 9), 1500)))
    assert report.prediction.victims == (7,)
    assert (report.victims, report.collateral) == ({8, 9}, set())
    assert (report.as_predicted, report.too_close) == (False, True)
    assert report.verdict.name == "group-killed"


def test_a_limit_may_take_more_than_the_predicted():
    one = observation(*kill_events(8), *kill_events(6), log=logged(8, 6), ret=0)
    tasks = [Task(pid, f"t{pid}", "/t", 0, pid << 20, 0, 0, 0.0) for pid in (6, 7, 8)]
    one = replace(
        one, call=replace(one.call, via="limit"), candidates=Candidates(tasks, 1, 4096, frozenset())
    )
    report = account(one, (), after(*one.events, ended={6: 1500, 8: 1500}))
    assert report.as_predicted is True
    assert report.verdict.name == "killed"


def test_a_predicted_group_needs_no_counter():
    """The counter went with the cgroup, or lies outside of what is counted."""
    events = *kill_events(8), *kill_events(7, at=1300)
    one = observation(*events, log=logged(8, 7), candidates=grouped(7, 8))
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500}))
    assert report.verdict.name == "group-killed"


def test_a_victim_outside_of_the_predicted_group_is_no_group_kill():
    events = *kill_events(8), *kill_events(9, at=1300)
    one = observation(*events, log=logged(8, 9), candidates=grouped(7, 8))
    report = account(one, (), after(*one.events, ended={8: 1500, 9: 1500}))
    assert report.verdict.name == "over-kill"


def test_several_victims_without_a_group_are_too_many():
    events = *kill_events(8), *kill_events(7, at=1300)
    one = observation(*events, log=logged(8, 7), candidates=grouped(7, 8, by="/elsewhere"))
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500}))
    assert report.verdict.name == "wrong-victim"
    without = account(replace(one, candidates=None), (), after(*one.events, ended={7: 1500}))
    assert without.verdict.name == "over-kill"


@pytest.mark.parametrize("victim", [7, 8])
def test_the_log_alone_does_not_name_the_tasks_that_share_the_victims_memory(victim):
    """Either of the two may be the one that is chosen."""
    parent = Task(7, "t7", "/t", 0, 8 << 20, 0, 0, 0.0)
    sharing = replace(parent, pid=8, comm="t8", shares=7)
    bystander = replace(parent, pid=9, rss=4096)
    candidates = Candidates([bystander, parent, sharing], 1, 4096, frozenset())
    one = observation(log=logged(victim), candidates=candidates)
    known = PostRun(
        (),
        {7: 1500, 8: 1500, 9: 1500},
        lambda kill, target: True,
        {}.get,
        no_tracing_reason="no BTF",
        sigkilled=frozenset({7, 8}),
    )
    report = account(one, (), known)
    assert {kill.pid for kill in report.kills} == {7, 8}
    assert report.collateral == {7, 8} - {victim}
