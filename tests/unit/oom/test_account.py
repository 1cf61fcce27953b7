"""Events and log records of one call become its report."""

from dataclasses import replace
from itertools import combinations

import pytest

from oomctl.oom.account import account
from oomctl.oom.attribution import PostRun, killed_by
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.event import EventKind
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.oom.log.logrecord import Record
from oomctl.oom.plan import Call
from oomctl.oom.prediction import Candidate, Candidates, Prediction
from oomctl.oom.task import Task
from oomctl.oom.timeline import Stamp, Timeline, timeline
from tests.unit.oom.observations import (
    BEGAN,
    CALLER,
    after,
    event,
    kill_events,
    logged,
    observation,
)


def test_both_sources_name_the_victim():
    one = observation(*kill_events(7), log=logged(7))
    report = account(one, (), after(*one.events, ended={7: 1500}))
    assert report.verdict.name == "killed"
    assert report.evidence.source == "ring buffer"
    assert report.evidence.agree is True
    assert [kill.pid for kill in report.kills] == [7]
    assert report.kills[0].oom_score_adj == 7


@pytest.mark.parametrize(
    ("events", "log"), [(kill_events(7), KernelLog()), (kill_events(7), logged(7, 8))]
)
def test_sources_that_differ_are_said_to_differ(events, log):
    one = observation(*events, log=log, lost=0)
    report = account(one, (), after(*events, ended={7: 1500}))
    assert report.evidence.agree is (log.records != ())
    assert {kill.pid for kill in report.kills} == {7}  # 8 is another trigger's victim


def test_a_kill_by_another_oom_is_not_ours():
    one = observation(*kill_events(7), *kill_events(8, trigger=99), log=logged(7, 8))
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500}))
    assert [kill.pid for kill in report.kills] == [7]
    assert report.evidence.agree is True


def test_a_task_that_is_killed_without_a_mark_shares_the_victims_memory():
    one = observation(*kill_events(7), event(EventKind.SIGKILL, 1230, 8), log=logged(7))
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500}))
    assert report.collateral == {8}
    assert report.verdict.name == "killed"
    assert "t8" not in report.verdict.reason
    assert {kill.pid: kill.cgroup for kill in report.kills}[8] == "/t/leaf"


def test_without_tracing_the_log_counts_if_the_kill_is_in_the_target():
    one = observation(log=logged(7, 8))
    known = after(
        ended={7: 1500, 8: 1500},
        owns=lambda kill, target: kill.pid == 7,
        no_tracing_reason="no BTF",
    )
    report = account(one, (), known)
    assert [kill.pid for kill in report.kills] == [7]
    assert report.evidence.source == "kernel log"
    assert report.evidence.no_tracing_reason == "no BTF"
    assert report.evidence.agree is None


def test_a_lost_event_lets_the_log_speak_and_agreement_is_not_claimed():
    one = observation(log=logged(7), lost=3)
    report = account(one, (), after(ended={7: 1500}, owns=lambda kill, target: True))
    assert [kill.pid for kill in report.kills] == [7]
    assert (report.evidence.lost, report.evidence.agree) == (3, None)


def test_a_mark_without_a_kill_is_a_victim_that_was_exiting():
    one = observation(event(EventKind.MARK_VICTIM, 1200, 7))
    report = account(one, (), after(*one.events))
    assert report.verdict.name == "claimed-but-none-died"
    assert "victim already exiting: t7 (pid 7)" in report.verdict.reason


def test_an_earlier_victim_that_ended_later_was_in_flight():
    one = observation()
    assert "in-flight victim: pid 7" in account(one, {7}, after(ended={7: 1100})).verdict.reason
    assert "pid 7" not in account(one, {7}, after(ended={7: 900})).verdict.reason


def test_a_caller_that_was_the_victim():
    one = observation(*kill_events(CALLER))
    report = account(one, (), after(*one.events, ended={CALLER: 1500}))
    assert report.verdict.name == "caller-killed"


def predicted(*victims, instead=()):
    candidates = [Candidate(Task(pid, f"t{pid}", "/t", 0, 0, 0, 0, 0.0), pid) for pid in (8, 7)]
    return Foreseen(Prediction(tuple(candidates), 1, 4096, victims, instead=instead))


class Foreseen:
    """Candidates whose prediction is known."""

    tasks = ()

    def __init__(self, prediction):
        self.prediction = prediction

    def predict(self, without):
        return self.prediction


@pytest.mark.parametrize(
    ("candidates", "name"),
    [
        (None, "killed"),
        (predicted(7), "killed"),
        (predicted(8), "wrong-victim"),
        (predicted(), "wrong-victim"),
        (predicted(8, instead=((7,),)), "killed"),
        (predicted(8, instead=((7, 8),)), "wrong-victim"),
    ],
)
def test_predicted_against_actual(candidates, name):
    one = observation(*kill_events(7), log=logged(7), candidates=candidates)
    assert account(one, (), after(*one.events, ended={7: 1500})).verdict.name == name


def test_a_task_that_a_call_before_took_is_no_choice_of_this_one():
    tasks = [Task(pid, f"t{pid}", "/t", 0, pid << 20, 0, 0, 0.0) for pid in (6, 7, 8)]
    one = observation(
        *kill_events(7), log=logged(7), candidates=Candidates(tasks, 1, 4096, frozenset())
    )
    ended = {7: 1500, 8: 1400}
    assert account(one, (), after(*one.events, ended=ended)).verdict.name == "wrong-victim"
    assert account(one, {8}, after(*one.events, ended=ended)).verdict.name == "killed"


def test_a_task_that_writes_a_limit_enters_again_and_again():
    events = [
        event(EventKind.OOM_BEGIN, 1100, CALLER),
        event(EventKind.SIGKILL, 1200, 7),
        event(EventKind.MARK_VICTIM, 1210, 7),
        event(EventKind.OOM_END, 1300, CALLER),
        event(EventKind.OOM_BEGIN, 1310, CALLER),
        event(EventKind.OOM_END, 1320, CALLER),
    ]
    one = observation(*events, log=logged(7))
    line = account(one, (), after(*one.events, ended={7: 1500})).timeline
    assert [s.name for s in line.stamps if s.name in ("locked", "unlocking")] == [
        "locked",
        "unlocking",
    ]
    assert (line.after_call("locked"), line.after_call("unlocking")) == (100, 320)


def test_the_worker_that_serves_sysrq_is_the_one_with_order_minus_1():
    worker = 77
    events = [
        replace(
            event(EventKind.OOM_BEGIN, 1050, 66), order=0
        ),  # another caller's, at the same time
        *kill_events(9, trigger=66),
        replace(event(EventKind.OOM_BEGIN, 1100, worker), order=-1),
        *kill_events(7, trigger=worker),
    ]
    one = replace(observation(*events, log=logged(9, 7), ret=0), call=Call(None, -1, 0, "sysrq"))
    report = account(one, (), after(*one.events, ended={7: 1500, 9: 1500}))
    assert [kill.pid for kill in report.kills] == [7]
    assert report.verdict.name == "killed"


@pytest.mark.parametrize("seen", [EventKind.OOM_BEGIN, EventKind.OOM_END, None])
def test_the_worker_that_serves_sysrq_is_known_by_whatever_tells_of_its_order(seen):
    worker = 77
    printed = [
        "kworker/1:1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1, oom_score_adj=0",
        f"CPU: 1 UID: 0 PID: {worker} Comm: kworker/1:1 Not tainted",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        "task_memcg=/t/leaf,task=t7,pid=7,uid=0",
        logged(7).records[0].text.replace("Memory cgroup out", "Out"),
    ]
    log = KernelLog(tuple(Record(n, n, text) for n, text in enumerate(printed)))
    around = [replace(event(seen, 1100, worker, worker), order=-1)] if seen else []
    events = [*around, *kill_events(7, trigger=worker)]
    one = replace(observation(*events, log=log, ret=0), call=Call(None, -1, 0, "sysrq"))
    report = account(one, (), after(*events, ended={7: 1500}))
    assert [kill.pid for kill in report.kills] == [7]
    assert report.verdict.name == "killed"


@pytest.mark.parametrize("tracing", [True, False])
def test_what_other_callers_killed_is_not_a_kill_without_a_name(tracing):
    """A group of 8 and 7, by another caller: the kernel counts its first victim twice."""
    events = [*kill_events(8, trigger=60), *kill_events(7, trigger=60)] if tracing else []
    said = KillsFromLog().feed(logged(8, 7).records)
    one = replace(
        observation(*events, group_kills=1),
        counted=3,
        logged=tuple(replace(each, invoker_pid=60) for each in said),
    )
    known = after(*events, ended={8: 1500}, no_tracing_reason="" if tracing else "no BTF")
    report = account(one, {7, 8}, known)
    assert report.verdict.name == "claimed-but-none-died"
    assert "in-flight victim: pid" in report.verdict.reason


def test_each_group_that_others_killed_counts_its_first_victim_twice():
    said = KillsFromLog().feed(logged(6, 7, 8, 9).records)
    groups = {6: "/t/a", 7: "/t/a", 8: "/t/b", 9: "/t/b"}  # neither counts more than one
    told = tuple(replace(one, invoker_pid=60 + one.pid // 8, group=groups[one.pid]) for one in said)
    one = replace(observation(group_kills=1), counted=6, logged=told)
    report = account(one, set(groups), after(ended={9: 1500}, no_tracing_reason="no BTF"))
    assert report.verdict.name == "claimed-but-none-died"


def test_cgroup_kill_takes_the_members_that_sigkill_ended_since():
    members = {pid: Task(pid, f"t{pid}", "/t", 0, 4096, 0, 0, 0.0) for pid in (6, 7, 8, 9)}
    one = replace(observation(ret=0), call=Call("/t", via="kill"), members=members)
    ends = {6: 1500, 7: 900, 8: 1600}  # 7 ended before the call, 9 lives
    seen = PostRun((), ends, lambda kill, target: False, {}.get, sigkilled=frozenset({6, 7}))
    report = account(one, (), seen)
    assert [kill.pid for kill in report.kills] == [6]
    assert (report.verdict.name, report.evidence.source) == ("cgroup-killed", "wait status")


@pytest.mark.parametrize(("trigger", "kills"), [(CALLER, [7]), (99, []), (None, [7])])
def test_without_tracing_the_log_tells_callers_apart_where_it_can(trigger, kills):
    printed = (
        Record(0, 0, "oomctl-caller invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0"),
        Record(1, 1, f"CPU: 1 UID: 0 PID: {trigger} Comm: oomctl-caller Not tainted"),
        Record(
            2,
            2,
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            "oom_memcg=/t,task_memcg=/t,task=t7,pid=7,uid=0",
        ),
    )
    one = observation(log=KernelLog(printed if trigger else ()) + logged(7))
    known = after(ended={7: 1500}, owns=lambda kill, target: True, no_tracing_reason="no BTF")
    assert [kill.pid for kill in account(one, (), known).kills] == kills
    assert account(one, {7}, known).kills == ()


def test_the_timeline_has_the_call_first_and_only_what_belongs_to_it():
    begin = event(EventKind.OOM_BEGIN, 1100, CALLER)
    end = event(EventKind.OOM_END, 1900, CALLER)
    stranger = event(EventKind.EXIT, 1950, 99, trigger=0)
    mine = event(EventKind.EXIT, 2500, 7, trigger=0, signal=9)
    one = observation(begin, *kill_events(7), end, log=logged(7), later=(Stamp("relieved", 2600),))
    report = account(one, (), after(*one.events, stranger, mine, ended={7: 2500}))
    names = [stamp.name for stamp in report.timeline.stamps]
    assert names == [
        "call",
        "locked",
        "killed",
        "marked",
        "unlocking",
        "return",
        "exited",
        "relieved",
    ]
    assert sum(report.timeline.parts) == report.timeline.whole == 1600
    assert report.timeline.after_call("exited", 7) == 1500
    assert report.timeline.after_call("exited", 8) is None


def test_a_timeline_of_a_call_that_did_not_return():
    line = timeline(CallResult(Stage.CALLED, BEGAN, 0, None), ())
    assert line == Timeline((Stamp("call", BEGAN),))
    assert (line.parts, line.whole, Timeline().whole) == ((), 0, 0)


def test_killed_by_takes_each_process_once():
    one = observation(*kill_events(7), *kill_events(7, at=1300), log=logged(7, 7))
    assert list(killed_by(one, after(*one.events))) == [7]


def test_a_victim_that_has_not_ended_was_killed_all_the_same():
    one = observation(*kill_events(7), log=logged(7))
    report = account(one, (), after(*one.events))
    assert report.verdict.name == "killed"
    assert report.verdict.reason.endswith("t7 (pid 7) was still dying at the timeout")


@pytest.mark.parametrize("no_tracing_reason", ["", "no BTF"])
def test_a_thread_that_the_log_names_is_its_process(no_tracing_reason):
    leaderless = Task(7, "t7", "/t", 0, 8 << 20, 0, 0, 0.0, thread=70, other_threads=(71,))
    marks = replace(event(EventKind.MARK_VICTIM, 1210, 70), tgid=7)
    shots = replace(event(EventKind.SIGKILL, 1200, 70), tgid=7)
    one = observation(
        *(() if no_tracing_reason else (shots, marks)),
        log=logged(70, 71),  # of a group it is killed twice, the second time by another thread
        candidates=Candidates([leaderless], 1, 4096, frozenset()),
    )
    known = after(
        *one.events,
        ended={7: 1500},
        owns=lambda kill, target: True,
        no_tracing_reason=no_tracing_reason,
    )
    report = account(one, (), known)
    assert [kill.pid for kill in report.kills] == [7]
    assert report.verdict.name == "killed"
    assert report.evidence.logged == {7}
    assert report.evidence.agree is (None if no_tracing_reason else True)


SILENT = {
    "oom_begin": {EventKind.OOM_BEGIN, EventKind.SIGKILL},
    "oom_end": {EventKind.OOM_END},
    "sigkill": {EventKind.SIGKILL},
    "mark_victim": {EventKind.MARK_VICTIM},
}


@pytest.mark.parametrize(
    ("silent", "in_log"),
    [
        (names, in_log)
        for size in range(5)
        for names in combinations(SILENT, size)
        for in_log in (True, False)
        if in_log or not {"mark_victim", "sigkill"} <= {*names}
        if in_log or not {"mark_victim", "oom_begin"} <= {*names}
    ],
)
def test_any_silent_programs_change_no_verdict(silent, in_log):
    """With the log to help, and without it where one word of tracing is left.

    Without oom_begin no SIGKILL is told either (bpf/observer.bpf.c, sigkill).
    """
    events = (
        event(EventKind.OOM_BEGIN, 1100, CALLER),
        *kill_events(7),
        event(EventKind.OOM_END, 1300, CALLER),
    )
    missing = set().union(*(SILENT[name] for name in silent))
    told = [each for each in events if each.kind not in missing]
    one = replace(observation(*told, log=logged(7) if in_log else None), silent=silent, lost=0)
    known = replace(
        after(*told, ended={7: 1500}, owns=lambda kill, target: True), sigkilled=frozenset({7})
    )
    report = account(one, (), known)
    assert report.verdict.name == "killed", report.verdict.reason
    assert [kill.pid for kill in report.kills] == [7]
    assert report.collateral == frozenset()
    assert report.evidence.silent == silent
    if in_log:
        assert report.evidence.agree is not False


def test_a_kill_that_only_the_log_tells_of_is_kept_beside_what_was_traced():
    one = observation(*kill_events(7), log=logged(7, 8))
    report = account(one, (), after(*one.events, ended={7: 1500, 8: 1500}, owns=lambda *_: True))
    assert {kill.pid for kill in report.kills} == {7, 8}
    assert report.evidence.agree is False


@pytest.mark.parametrize(
    ("memcg", "kills"), [("/t/leaf", []), ("/tt", []), ("/t", [8]), ("/container/t", [8])]
)
def test_a_kill_of_the_log_whose_oom_was_another_cgroups_is_not_the_calls(memcg, kills):
    """A limit below the target, in the same moment, by a task that was not traced.

    In a cgroup namespace the log's paths begin above those that oomctl sees.
    """
    printed = (
        Record(0, 0, "t8 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0"),
        Record(
            1,
            1,
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            f"oom_memcg={memcg},task_memcg={memcg}/a,task=t8,pid=8,uid=0",
        ),
    )
    one = observation(log=KernelLog(printed) + logged(8))
    known = after(ended={8: 1500}, owns=lambda *_: True, no_tracing_reason="no BTF")
    assert [kill.pid for kill in account(one, (), known).kills] == kills


def test_a_counter_that_rose_is_believed_where_no_source_names_the_victim():
    one = replace(observation(lost=9), counted=1)
    report = account(one, (), after())
    assert report.verdict.name == "killed"
    assert "oom_kill of the target rose by 1" in report.verdict.reason
