"""Steps of a plan on a real kernel: several callers at once, every trigger, what is waited for."""

import os
import secrets
from dataclasses import replace

import pytest

from oomctl.experiment.environment import require_machine
from oomctl.experiment.session import Session
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog, Plan, Recheck, Setting, Step

M = 1 << 20
SIZES = {"small": 8 * M, "medium": 16 * M, "large": 32 * M}


def plan(*steps, sizes=SIZES, settings=(), **more):
    """Plan a fresh cgroup with a leaf for each hog; a step's target is relative to it."""
    top = f"/oomctl-{os.getpid()}-{secrets.token_hex(3)}"
    hogs = tuple(Hog(name, size, cgroup=f"{top}/{name}") for name, size in sizes.items())
    written = [Setting("/", "cgroup.subtree_control", "+memory")]
    written += [Setting(top, file, value) for file, value in settings]
    written.append(Setting(top, "cgroup.subtree_control", "+memory"))

    def placed(step):
        target = step.call.target
        return replace(
            step, call=replace(step.call, target=target and f"{top}{target}".rstrip("."))
        )

    cgroups = (top, *(hog.cgroup for hog in hogs))
    return Plan(cgroups, tuple(written), hogs, tuple(map(placed, steps)), top, **more)


def on_top(via="bpf", flags=WAIT_ON_OOM_LOCK, amount=None, **more):
    return Step(Call(".", 0, flags, via, amount), **more)


def dead(outcome):
    return {row.name for row in outcome.tasks if row.fate.kind != "survived"}


def rises(outcome):
    return outcome.events[outcome.top]


def first(outcome):
    """Return the name of the first victim."""
    pid = next(s.pid for s in outcome.calls[0].timeline.stamps if s.name == "killed")
    return next(row.name for row in outcome.tasks if row.task.pid == pid)


def moments(report):
    return [stamp.name for stamp in report.timeline.stamps]


EIGHT = {f"hog-{number}": 4 * M for number in range(8)}


def test_callers_that_wait_run_one_after_the_other(session):
    outcome = session.run(plan(on_top(callers=4), sizes=EIGHT))
    assert [one.result.ret for one in outcome.calls] == [1, 1, 1, 1]
    assert len({one.result.caller for one in outcome.calls}) == 4
    # each caller that found no victim in flight killed one more; each has its own victims
    killed = [kill.pid for one in outcome.calls for kill in one.kills]
    assert len(killed) == len(set(killed)) == len(dead(outcome))
    locked = [one.timeline.after_call("locked") for one in outcome.calls]
    assert all(after is not None for after in locked)
    assert all(one.evidence.agree for one in outcome.calls)


def test_callers_that_do_not_wait_run_or_get_ebusy(session):
    seen = set()
    for _ in range(5):
        outcome = session.run(plan(on_top(flags=0, callers=8), sizes=EIGHT))
        returned = [one.result.ret for one in outcome.calls]
        assert set(returned) <= {1, -16}
        assert 1 in returned
        seen |= set(returned)
        for one in outcome.calls:
            assert (one.verdict.name == "busy") is (one.result.ret == -16)
    assert seen == {1, -16}


def test_callers_that_recheck_give_up_once_the_memory_is_freed(session):
    step = on_top(flags=0, callers=4, recheck=Recheck(30 * M, 0.001))
    outcome = session.run(plan(step, sizes=EIGHT))
    names = [one.verdict.name for one in outcome.calls]
    assert set(names) <= {"killed", "claimed-but-none-died", "spared"}
    assert "killed" in names
    assert outcome.memory_after <= 30 * M
    for one in outcome.calls:
        assert one.result.spared is (one.verdict.name == "spared")
        assert one.result.ret == (None if one.result.spared else 1)
        if one.result.attempts:
            assert one.result.duration_ns > 0


def test_a_limit_kills_the_same_victim_and_changes_other_counters(session):
    kfunc = session.run(plan(on_top()))
    limit = session.run(plan(on_top("limit")))
    assert dead(kfunc) == {"large"}
    # the writer of memory.max may take a second one before the first has given up its memory
    assert first(limit) == first(kfunc) == "large"
    assert (rises(kfunc)["oom"], rises(kfunc)["max"], rises(kfunc)["oom_kill"]) == (0, 0, 1)
    assert rises(limit)["oom"] >= 1
    assert rises(limit)["oom_kill"] == len(dead(limit))
    (report,) = limit.calls
    assert (report.verdict.name, report.result.ret) == ("killed", 0)
    assert report.evidence.agree is True
    assert moments(report).count("locked") == moments(report).count("unlocking") == 1
    assert report.timeline.after_call("return") == report.result.duration_ns


def test_a_limit_may_kill_several(session):
    outcome = session.run(plan(on_top("limit", amount=40 * M)))
    assert {"large", "medium"} <= dead(outcome)
    assert outcome.verdict.name == "killed"
    assert len(outcome.calls[0].kills) == len(dead(outcome))


def test_sysrq_kills_the_largest_task_of_the_machine(session):
    outcome = session.run(plan(Step(Call(None, -1, 0, "sysrq")), sizes={"huge": 512 * M}))
    (report,) = outcome.calls
    assert (report.verdict.name, report.result.ret) == ("killed", 0)
    assert dead(outcome) == {"huge"}
    assert report.evidence.source == "ring buffer"
    assert "killed" in moments(report)
    assert outcome.tasks[0].fate.kind == "oom-killed"


def test_cgroup_kill_kills_all_and_changes_no_oom_counter(session):
    outcome = session.run(plan(on_top("kill")))
    (report,) = outcome.calls
    assert report.verdict.name == "cgroup-killed"
    assert dead(outcome) == set(SIZES)
    assert {row.fate.kind for row in outcome.tasks} == {"cgroup-killed"}
    assert not any(rises(outcome).values())
    assert report.evidence.source == "wait status"


def test_reclaim_that_frees_nothing_is_followed_by_the_kfunc(session):
    outcome = session.run(plan(on_top("reclaim", amount=8 * M)))
    (report,) = outcome.calls
    assert (report.verdict.name, report.result.ret) == ("killed", 1)
    assert report.result.reclaimed is not None
    assert dead(outcome) == {"large"}
    assert rises(outcome)["oom"] == 0


def test_each_step_has_its_own_target_and_repeat(session):
    steps = [
        Step(Call("/small", 0, 1)),
        Step(Call(".", 11, 1)),
        on_top(repeat=2, delay=0.05, until="freed"),
    ]
    outcome = session.run(plan(*steps))
    assert [one.result.ret for one in outcome.calls] == [1, -22, 1, 1]
    assert [(one.step, one.turn) for one in outcome.calls] == [(0, 0), (1, 0), (2, 0), (2, 1)]
    names = {row.task.pid: row.name for row in outcome.tasks}
    victims = [[names[kill.pid] for kill in one.kills] for one in outcome.calls]
    assert victims == [["small"], [], ["large"], ["medium"]]


def test_a_kept_tree_gets_fresh_hogs(session):
    wanted = plan(on_top())
    with session.keep_tree(wanted):
        first, second = session.run(wanted), session.run(wanted)
    assert dead(first) == dead(second) == {"large"}
    assert {f.task.pid for f in first.tasks} & {f.task.pid for f in second.tasks} == set()
    assert rises(second)["oom_kill"] == 1


@pytest.mark.usefixtures("no_tracing")
def test_without_tracing_each_caller_has_its_own_victims():
    root, kfunc = require_machine()
    with Session(root, kfunc, lambda ranking: None) as session:
        outcome = session.run(plan(on_top(callers=3), sizes=EIGHT))
    killed = [kill.pid for one in outcome.calls for kill in one.kills]
    assert len(killed) == len(set(killed)) == len(dead(outcome))
    assert {one.evidence.source for one in outcome.calls} == {"kernel log"}
