"""Actions of a plan beside its calls: real hogs in a fake cgroupfs with a fake kernel."""

from dataclasses import replace

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import actions, setting, steps
from oomctl.oom.enums import Do, Occasion
from oomctl.oom.plan import Action, After, Hog
from tests.journals import journals
from tests.unit.experiment.fake_kernel import M, fates, planned, run

pytestmark = pytest.mark.usefixtures("nothing_is_left")

FILLED = After()
RETURNED = After(Occasion.RETURNED)


def act(do, after=FILLED, **more):
    return Action(more.pop("step", 0), after, do, **more)


def acted(outcome):
    return [(one.action.do, one.action.hog or one.action.value) for one in outcome.actions]


def with_actions(kernel, *made, **more):
    return planned(kernel, actions=made, **more)


def test_without_actions_there_are_none(kernel):
    assert run(kernel, planned(kernel)).actions == ()


def test_a_file_is_written_before_the_call_or_after_it(kernel):
    seen = []
    file = kernel.root.directory / "t" / "memory.max"

    def react(_call):
        seen.append(file.read_text())
        return 0

    kernel.react = react
    write = {"cgroup": "/t", "file": "memory.max"}
    early = act(Do.WRITE, value=str(64 * M), **write)
    late = act(Do.WRITE, RETURNED, step=1, value=str(32 * M), **write)
    outcome = run(kernel, with_actions(kernel, late, early))
    assert seen == [str(64 * M)]
    assert acted(outcome) == [(Do.WRITE, str(64 * M)), (Do.WRITE, str(32 * M))]
    first, second = outcome.actions
    call = outcome.calls[0].result
    assert first.at_ns < call.began_ns < second.at_ns
    assert 0 < first.after_ns < second.after_ns
    assert not outcome.calls[0].disturbed


def test_the_earliest_is_made_first(kernel):
    made = [
        act(Do.WRITE, After(delay=delay), cgroup="/t", file="memory.max", value=str(number))
        for number, delay in enumerate((0.03, 0.01, 0.02))
    ]
    outcome = run(kernel, with_actions(kernel, *made))
    assert [value for _do, value in acted(outcome)] == ["1", "2", "0"]


def test_a_time_counts_from_the_first_hog_and_the_run_waits_for_it(kernel):
    after = After(Occasion.STARTED, delay=0.3)
    outcome = run(kernel, with_actions(kernel, act(Do.STOP, after, hog="small")))
    (one,) = outcome.actions
    assert one.after_ns >= 0.3e9
    assert fates(outcome)["small"] == "survived"


def test_a_hog_is_killed_and_that_is_no_oom_kill(kernel):
    outcome = run(kernel, with_actions(kernel, act(Do.KILL, hog="small")))
    assert fates(outcome) == {
        "small": "killed by a step",
        "large": "survived",
        "medium": "survived",
    }


def test_a_call_during_which_a_step_turns_the_choice_is_not_predicted(kernel, monkeypatch):
    def slow(pulled, callers, watch, timeout, tick, prepare):
        results = kernel.together(pulled, callers, watch, timeout)
        watch.wait(lambda: kernel.pids["small"] in watch.deaths, 20, tick)
        return results

    monkeypatch.setattr(steps, "call_together", slow)
    kernel.react = lambda _call: kernel.kills("medium")
    victim = act(Do.KILL, After(Occasion.EXITED, ("medium",)), hog="small")
    outcome = run(kernel, with_actions(kernel, victim))
    (report,) = outcome.calls
    assert report.disturbed
    assert report.prediction is None
    assert report.verdict.name == "killed"
    assert "call 1 is not predicted: a step changed the choice during it" in outcome.notes
    assert fates(outcome)["small"] == "killed by a step"


def test_a_step_after_the_end_of_a_hog_or_its_mark(kernel):
    kernel.react = lambda _call: kernel.kills("large")
    write = {"cgroup": "/t", "file": "memory.max"}
    outcome = run(
        kernel,
        with_actions(
            kernel,
            act(Do.WRITE, After(Occasion.EXITED, ("large", "small")), value="1", **write),
            act(Do.WRITE, After(Occasion.MARKED, ("large",)), value="2", **write),
            act(Do.WRITE, After(Occasion.MARKED, ("small",)), value="3", **write),
        ),
    )
    assert sorted(value for _do, value in acted(outcome)) == ["1", "2"]
    assert outcome.notes == ("step 1 was not made: write ./memory.max = 3, after small is marked",)


def test_a_later_hog_is_started_filled_and_ended(kernel):
    hogs = Hog("small", M), Hog("large", 4 * M)
    wanted = with_actions(
        kernel,
        act(Do.START, RETURNED, hog="large"),
        act(
            Do.WRITE, After(Occasion.FILLED, ("large",)), cgroup="/t", file="memory.max", value="1"
        ),
        hogs=hogs,
    )
    kernel.react = lambda _call: 0 if "large" not in kernel.pids else 1
    outcome = run(kernel, wanted)
    assert acted(outcome) == [(Do.START, "large"), (Do.WRITE, "1")]
    assert outcome.calls[0].result.ret == 0
    row = next(row for row in outcome.tasks if row.name == "large")
    assert row.filled.bytes >= 4 * M
    assert str(row.fate) == "survived"


def test_what_is_due_with_a_start_waits_for_it_and_what_comes_later_does_not(kernel):
    write = {"cgroup": "/t", "file": "memory.max"}
    wanted = with_actions(
        kernel,
        act(Do.START, hog="large"),
        act(Do.WRITE, value="1", **write),
        act(Do.WRITE, After(delay=0.02), value="2", **write),
    )
    slow = tuple(replace(hog, rate=20 * M if hog.name == "large" else None) for hog in wanted.hogs)
    outcome = run(kernel, replace(wanted, hogs=slow))
    later, start, same = sorted(outcome.actions, key=lambda one: one.at_ns + one.took_ns)
    assert (later.action.value, start.action.do, same.action.value) == ("2", Do.START, "1")
    assert start.at_ns < later.at_ns
    assert same.at_ns >= start.at_ns + start.took_ns


def test_a_hog_that_was_not_started_cannot_be_killed(kernel):
    wanted = with_actions(
        kernel,
        act(Do.KILL, hog="large"),
        act(Do.START, After(Occasion.STARTED, delay=9), hog="large"),
    )
    with pytest.raises(OomctlError, match="the hog 'large' has not been started"):
        run(kernel, wanted)


def test_a_hog_is_moved(kernel):
    procs = kernel.root.directory / "t" / "large" / "cgroup.procs"
    seen = []
    kernel.react = lambda _call: seen.append(procs.read_text()) or 0
    outcome = run(kernel, with_actions(kernel, act(Do.MOVE, hog="small", cgroup="/t/large")))
    assert seen == [str(kernel.pids["small"])]
    assert acted(outcome) == [(Do.MOVE, "small")]


def test_freezing_is_waited_for(kernel, monkeypatch):
    monkeypatch.setattr(actions, "_SETTLES_IN", 0.05)

    def react(_call):
        folder = kernel.root.directory / "t"
        (folder / "cgroup.freeze").write_text("0")
        (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        return 0

    kernel.react = react
    write = {"cgroup": "/t", "file": "cgroup.freeze"}
    freeze = act(Do.WRITE, RETURNED, value="1", **write)
    outcome = run(kernel, with_actions(kernel, freeze))
    (slow,) = outcome.actions
    assert slow.took_ns >= 0.05e9
    monkeypatch.setattr(actions, "_SETTLES_IN", 3600)
    thaw = act(Do.WRITE, RETURNED, value="0", **write)
    assert run(kernel, with_actions(kernel, thaw)).failure is None


def test_an_error_before_the_calls_ends_the_run(kernel):
    refused = act(Do.REMOVE, cgroup="/t/none")
    with pytest.raises(OomctlError, match=r"cannot remove the cgroup .*/t/none"):
        run(kernel, with_actions(kernel, refused))
    assert kernel.calls == []


def test_an_error_after_a_call_is_the_failure_of_the_round(kernel):
    refused = act(Do.REMOVE, RETURNED, cgroup="/t/none")
    never = act(Do.KILL, After(Occasion.RETURNED, delay=0.01), hog="small")
    outcome = run(kernel, with_actions(kernel, refused, never, repeat=2))
    assert "cannot remove the cgroup" in outcome.failure.why
    assert len(outcome.calls) == 1
    assert acted(outcome) == [(Do.REMOVE, "")]


def test_an_error_may_be_a_result(kernel):
    refused = act(Do.REMOVE, cgroup="/t/none", may_fail=True)
    outcome = run(kernel, with_actions(kernel, refused))
    assert outcome.failure is None
    assert "No such file or directory" in outcome.actions[0].failed


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A sysctl and a switch."""
    sysctls = tmp_path / "sys"
    (sysctls / "vm").mkdir(parents=True)
    (sysctls / "vm/swappiness").write_text("60\n")
    switch = tmp_path / "switch"
    switch.write_text("0x0007\n")
    monkeypatch.setattr(setting, "SYSCTLS", sysctls)
    return sysctls / "vm/swappiness", switch


def test_sysctls_and_switches_are_put_back(kernel, settings):
    sysctl, switch = settings
    seen = []

    def react(_call):
        seen.append((sysctl.read_text(), switch.read_text(), len(journals())))
        return 0

    kernel.react = react
    outcome = run(
        kernel,
        with_actions(
            kernel,
            act(Do.SYSCTL, file="vm.swappiness", value="61"),
            act(Do.SYSCTL, file="vm.swappiness", value="62"),
            act(Do.SYSFS, file=str(switch), value="0x0000"),
        ),
    )
    assert outcome.failure is None
    assert seen == [("62\n", "0x0000\n", 1)]
    assert (sysctl.read_text(), switch.read_text()) == ("60\n", "0x0007\n")


def test_a_switch_that_does_not_exist_is_an_error(kernel, tmp_path):
    missing = act(Do.SYSFS, file=str(tmp_path / "none"), value="0")
    with pytest.raises(UnsupportedError, match=r"this kernel has no .*/none"):
        run(kernel, with_actions(kernel, missing))


def test_a_kept_tree_is_fresh_for_a_plan_with_actions(kernel):
    from oomctl.bpf.btf import Kfunc
    from oomctl.experiment.session import Session

    write = act(Do.WRITE, RETURNED, cgroup="/t", file="memory.max", value="1")
    wanted = with_actions(kernel, write)
    high = kernel.root.directory / "t" / "memory.max"
    seen = []
    kernel.react = lambda _call: seen.append(high.exists() and high.read_text() == "1") or 0
    with Session(kernel.root, Kfunc("vmlinux", ()), None) as session, session.keep_tree(wanted):
        session.run(wanted)
        session.run(wanted)
    assert seen == [False, False]
