"""Each oracle is silent on a sound outcome, and speaks of its own fault only."""

import errno
import re
from dataclasses import replace

import pytest

from oomctl.errors import OomctlError
from oomctl.fuzz.case import Case
from oomctl.fuzz.hunt import trial_of
from oomctl.fuzz.turns import CallKills, at_step, groups_of
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.counts import Difference, KillCounts
from oomctl.oom.enums import Agreement, CountSource, Do, Occasion, Oracle, Phase, VerdictName, Via
from oomctl.oom.fate import Fate
from oomctl.oom.plan import Action, After, Call, Hog, Step
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.oom.verdict import Verdict, overall
from tests.unit.fuzz.fake_kernel import FakeKernel

M = 1 << 20
CASE = Case(
    hogs=(
        Hog("small", M, cgroup="a"),
        Hog("large", 4 * M, cgroup="b"),
        Hog("twin", 4 * M, cgroup="b"),
        Hog("safe", 8 * M, -1000, "a"),
    ),
    files={".": {}, "a": {}, "b": {"memory.oom.group": "1"}},
    steps=(Step(Call(".", 0, 1)), Step(Call("a", 3, 0)), Step(Call("a", -1, 0))),
)


@pytest.fixture
def sound():
    return FakeKernel().judged(CASE)


def with_call(judged, number, **changes):
    calls = list(judged.outcome.calls)
    calls[number] = replace(calls[number], **changes)
    return with_outcome(judged, calls=tuple(calls))


def with_outcome(judged, **changes):
    return replace(judged, outcome=replace(judged.outcome, **changes))


def said(judged):
    return {each.oracle for each in judged.disagreements}


def test_a_sound_outcome_agrees(sound):
    assert sound.disagreements == ()
    assert sound.agreement is Agreement.AGREED
    assert [call.verdict.name for call in sound.outcome.calls] == [
        "group-killed",
        "killed",
        "invalid-argument",
    ]


def test_other_victims_differ_and_both_sides_are_named(sound):
    kills = sound.outcome.calls[1].kills
    judged = with_call(sound, 0, kills=kills)
    assert said(judged) == {Oracle.VICTIMS}
    assert judged.agreement is Agreement.DIFFERS
    assert str(judged.disagreements[0]) == (
        "victims: predicted ['large (1001)', 'twin (1002)'], died ['small (1000)']"
    )


def test_others_within_the_error_are_explained(sound):
    one = sound.outcome.calls[1]
    prediction = replace(one.prediction, victims=(1003,), instead=((1000,),))
    judged = with_call(sound, 1, prediction=prediction)
    assert judged.disagreements == ()
    assert judged.agreement is Agreement.EXPLAINED


def test_a_kill_by_an_invalid_call_differs(sound):
    judged = with_call(sound, 2, kills=sound.outcome.calls[1].kills)
    assert said(judged) == {Oracle.VICTIMS}
    assert "although its argument is invalid" in judged.disagreements[0].text


@pytest.mark.parametrize(("number", "ret"), [(0, 0), (1, 0), (1, -errno.EBUSY), (2, 0), (2, 1)])
def test_another_return_differs(sound, number, ret):
    result = replace(sound.outcome.calls[number].result, ret=ret)
    assert said(with_call(sound, number, result=result)) == {Oracle.RETURN}


def test_a_call_that_did_not_return_in_time(sound):
    result = CallResult(Stage.CALLED, 1000, 0, None, timed_out=True)
    judged = with_call(sound, 2, result=result)
    assert said(judged) == {Oracle.TIME, Oracle.RETURN}


def test_another_verdict_differs(sound):
    verdict = Verdict(VerdictName.OVER_KILL, "two died")
    found = said(with_outcome(with_call(sound, 0, verdict=verdict), verdict=verdict))
    assert found == {Oracle.VERDICT}


def test_sources_that_disagree(sound):
    evidence = replace(sound.outcome.calls[1].evidence, agree=False)
    assert said(with_call(sound, 1, evidence=evidence)) == {Oracle.EVIDENCE}
    assert said(with_call(sound, 1, log=())) >= {Oracle.EVIDENCE}


def test_moments_out_of_order(sound):
    stamps = sound.outcome.calls[1].timeline.stamps
    call, killed, marked, exited = (
        next(stamp for stamp in stamps if stamp.name == name)
        for name in ("call", "killed", "marked", "exited")
    )
    line = Timeline((call, marked, killed, exited))
    assert said(with_call(sound, 1, timeline=line)) == {Oracle.TIMELINE}
    early = Timeline((call, Stamp("exited", killed.at_ns, 1000), killed, marked))
    assert said(with_call(sound, 1, timeline=early)) == {Oracle.TIMELINE}


def test_a_task_that_died_of_no_call(sound):
    rows = [
        replace(row, fate=Fate("killed", signal=9)) if row.name == "safe" else row
        for row in sound.outcome.tasks
    ]
    assert said(with_outcome(sound, tasks=tuple(rows))) == {Oracle.FATES}


@pytest.mark.parametrize("counter", ["oom", "oom_kill", "oom_group_kill"])
def test_a_counter_that_rose_once_too_often(sound, counter):
    events = {name: dict(rises) for name, rises in sound.outcome.events.items()}
    events["/fuzzed/a"][counter] += 1
    assert said(with_outcome(sound, events=events)) == {Oracle.COUNTERS}


def test_counts_that_no_rule_explains(sound):
    counts = KillCounts({}, (Difference(CountSource.KERNEL_LOG, 1, None),))
    assert said(with_outcome(sound, counts=counts)) == {Oracle.COUNTS}


def test_a_failure_of_oomctl(sound):
    judged = with_outcome(sound, failure=OomctlError("a cgroup could not be removed"))
    assert said(judged) == {Oracle.CARRIED_OUT}


def test_a_trial_has_what_the_model_expects(sound):
    trial = trial_of(sound)
    assert [(e.ret, e.victims) for e in trial.expected] == [
        (1, ("large", "twin")),
        (1, ("small",)),
        (-errno.EINVAL, ()),
    ]
    rules = {which for what, which in trial.exercised if what == "rule"}
    assert rules == {"exempt", "largest", "tie", "group", "below", "bad-argument"}
    assert ("return", "-EINVAL") in trial.exercised
    assert ("verdict", "group-killed") in trial.exercised


def without_the_sharer(judged, fate):
    """Return the outcome in which a sharer ended with its hog, before its turn came."""
    (call,) = judged.outcome.calls
    kills = tuple(kill for kill in call.kills if kill.role == "victim")
    rows = tuple(
        replace(row, fate=fate, kill=None, phase=Phase.BESIDE) if row.task.shares else row
        for row in judged.outcome.tasks
    )
    line = replace(
        call.timeline, stamps=tuple(s for s in call.timeline.stamps if s.pid != kills[0].pid + 1)
    )
    changed = with_call(judged, 0, kills=kills, collateral=frozenset(), timeline=line)
    return with_outcome(changed, tasks=tuple(replace(row, collateral=False) for row in rows))


def test_a_sharer_may_end_with_its_hog_but_not_survive():
    hogs = (Hog("pair", 4 * M, 0, "b", "shared", sharer="a"), Hog("other", M, cgroup="a"))
    judged = FakeKernel().judged(replace(CASE, hogs=hogs, steps=CASE.steps[:1]))
    assert judged.disagreements == ()
    assert said(without_the_sharer(judged, Fate("ended-with-hog"))) == set()
    assert said(without_the_sharer(judged, Fate("survived"))) == {Oracle.FATES}


def together(**changes):
    """Return two calls of one moment, of which the first has killed; `changes` are the second's."""
    judged = FakeKernel().judged(replace(CASE, steps=(Step(Call("a", 0, 0)),) * 2))
    first, second = judged.outcome.calls
    none = replace(second.evidence, seen=frozenset(), logged=frozenset())
    second = replace(second, step=0, kills=(), log=(), evidence=none, prediction=first.prediction)
    calls = (first, replace(second, **changes))
    return with_outcome(judged, calls=calls, verdict=overall([call.verdict for call in calls]))


def answered(ret, name):
    result = CallResult(Stage.CALLED, 2000, 2100, ret, caller=50)
    return {"result": result, "verdict": Verdict(name, "")}


@pytest.mark.parametrize(
    ("ret", "name", "finds"),
    [
        (-errno.EBUSY, VerdictName.BUSY, set()),
        (1, VerdictName.CLAIMED_BUT_NONE_DIED, set()),
        (0, VerdictName.NO_KILLABLE_TASK, {Oracle.RETURN}),
        (1, VerdictName.BUSY, {Oracle.VERDICT}),
    ],
)
def test_of_callers_at_once_the_second_may_be_late(ret, name, finds):
    found = {each for each in said(together(**answered(ret, name))) if each is not Oracle.FATES}
    assert found - {Oracle.COUNTERS, Oracle.COUNTS} == finds


def test_a_caller_that_waits_is_never_told_busy():
    waiting = answered(-errno.EBUSY, VerdictName.BUSY) | {"call": Call("/fuzzed/a", 0, 1)}
    assert Oracle.RETURN in said(together(**waiting))


@pytest.mark.parametrize(("file", "before", "after"), [("memory.oom.group", {"b"}, {"a", "b"})])
def test_a_setting_counts_from_the_step_that_writes_it(file, before, after):
    done = After(Occasion.RETURNED, call=0)
    plan = replace(CASE, actions=(Action(0, done, Do.WRITE, "a", file=file, value="1"),)).plan("/x")
    assert [groups_of(at_step(plan, number), "/x") for number in (0, 1)] == [
        {f"/x/{name}" for name in names} for names in (before, after)
    ]


@pytest.mark.parametrize(
    ("old", "new"), [("order=0", "order=5"), ("GFP_KERNEL", ""), ("oom-killer", "oom-killer")]
)
def test_the_log_names_order_and_gfp_mask_of_one_run(sound, old, new):
    log = sound.outcome.calls[0].log
    header = log[0]._replace(text=log[0].text.replace(old, new))
    more = (header, *log) if old == new else (header, *log[1:])
    assert said(with_call(sound, 0, log=more)) == {Oracle.EVIDENCE}


def test_a_line_that_only_another_reader_has(sound):
    log = [record for call in sound.outcome.calls for record in call.log]
    assert sound.unread(log) == []
    line = next(record for record in log if "Killed process" in record.text)
    more = line._replace(text=re.sub(r"Killed process \d+", "Killed process 77", line.text))
    assert sound.unread([*log, more]) == [77]


def test_the_child_of_a_victim_of_another_caller_may_have_ended_since_the_look():
    """Found by an hour on 7.3.4: a group, of which one shares the memory of the first's victim."""
    hogs = (
        Hog("first", 2 * M, 1, "a", kind="shared", sharer="b"),
        Hog("second", M, 0, "b"),
    )
    files = {".": {}, "a": {}, "b": {"memory.oom.group": "1"}}
    case = Case(hogs=hogs, files=files, steps=(Step(Call("a", 0, 1)), Step(Call("b", 0, 1))))
    judged = FakeKernel().judged(case)
    one, two = judged.outcome.calls
    maker, child, last = sorted(row.task.pid for row in judged.outcome.tasks)
    one = replace(one, kills=tuple(kill for kill in one.kills if kill.pid == maker))
    tasks = {row.task.pid: row.task for row in judged.outcome.tasks}
    seen = replace(two.prediction, victims=(child, last))
    two = replace(two, prediction=seen)
    assert {kill.pid for kill in two.kills} == {last}
    turns = [CallKills(judged.plan, two, tasks, others).turns for others in ((one,), ())]
    assert [bool(each) for each in turns] == [True, False]


def test_a_forker_may_run_into_the_lowered_limit_itself():
    """It makes a child anew, and the OOM killer of its charge takes the next in order."""
    hogs = (Hog("maker", 2 * M, 0, "a", "forker", tasks=2), Hog("plain", M, 0, "a"))
    limit = Call("a", 0, 1, Via.LIMIT)
    judged = FakeKernel().judged(replace(CASE, hogs=hogs, steps=(Step(limit),)))
    (call,) = judged.outcome.calls
    tasks = {row.task.pid: row.task for row in judged.outcome.tasks}
    maker, child, last, plain = sorted(tasks)
    (first,) = call.kills
    assert first.pid == last
    given = call.prediction.given
    small = [replace(task, rss=4096) if task.pid == maker else task for task in given.tasks]
    kills = (first, replace(first, pid=plain, comm="plain"))
    call = replace(call, kills=kills, prediction=replace(given, tasks=small).predict())
    beside = replace(first, pid=child, invoker_pid=maker, invoker_comm="maker")
    of_caller = replace(beside, invoker_pid=call.result.caller)
    of_another = replace(beside, invoker_comm="plain", invoker_pid=plain)
    found = [
        CallKills(judged.plan, call, tasks, (), kills)
        for kills in ((beside,), (), (of_caller,), (of_another,))
    ]
    assert [each.refilled for each in found] == [{child}, set(), set(), set()]
    assert [bool(each.turns) for each in found] == [True, False, False, False]
    assert [turn.victims for turn in found[0].turns] == [(last,), (child,), (plain,)]
