"""How a round ends: with nothing left, and with what was seen until then."""

import os
import signal
import subprocess
import time

import pytest

from oomctl.cgroup import removal
from oomctl.errors import UnsupportedError
from oomctl.experiment import waits
from oomctl.hog.hogset import HogSet
from oomctl.oom.plan import Call, Plan, Step
from tests.journals import journals
from tests.unit.experiment.fake_kernel import planned, run

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_an_error_of_the_program_leaves_nothing(kernel):
    def react(_call):
        raise UnsupportedError("no")

    kernel.react = react
    with pytest.raises(UnsupportedError):
        run(kernel, planned(kernel))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_delivered_during_a_wait_and_leaves_nothing(kernel, number):
    """It is pending until the wait for the victim, which would otherwise take 20 s."""

    class EndedError(Exception):
        pass

    def end(*_):
        raise EndedError

    def react(_call):
        kernel.says(kernel.pids["large"], "large", "/t/large")  # never dies
        os.kill(os.getpid(), number)
        return 1

    kernel.react = react
    before = signal.signal(number, end)
    try:
        began = time.monotonic()
        with pytest.raises(EndedError):
            run(kernel, planned(kernel))
        assert time.monotonic() - began < 15
        assert len(kernel.calls) == 1
    finally:
        signal.signal(number, before)


def test_a_hog_that_dies_before_the_call_stops_it(kernel, monkeypatch):
    require_alive = HogSet.require_alive

    def kill_first(hog_set):
        os.kill(kernel.pids["small"], signal.SIGTERM)
        hog_set._watch.wait(lambda: kernel.pids["small"] in hog_set._watch.deaths, 20)
        require_alive(hog_set)

    monkeypatch.setattr(HogSet, "require_alive", kill_first)
    with pytest.raises(UnsupportedError, match="ended before the call"):
        run(kernel, planned(kernel))
    assert kernel.calls == []


def test_kept_cgroups_are_named_and_kept_hogs_live(kernel, capsys):
    run(kernel, planned(kernel, keep=True))
    assert f"kept {kernel.root.directory}/t; to remove it:" in capsys.readouterr().err
    assert (kernel.root.directory / "t" / "large").is_dir()
    for pid in kernel.pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert journals() == []
    kept = kernel.root.at("/t")
    removal.remove(kept.directory, kept.id)


def test_an_existing_cgroup_without_tasks_is_left_as_it_was(kernel, theirs):
    kernel.react = lambda _call: (
        kernel.records.append(b"4,1,1,-;Out of memory and no killable processes...\n") or 0
    )
    before = {path.name: path.read_bytes() for path in theirs.directory.iterdir()}
    outcome = run(kernel, Plan((), (), (), (Step(Call("/theirs", 0, 1)),), "/theirs"))
    assert outcome.verdict.name == "no-killable-task"
    assert outcome.tasks == ()
    assert {path.name: path.read_bytes() for path in theirs.directory.iterdir()} == before


VANISHING = ("*", "memory.*", "memory.events", "memory.current", "cgroup.procs", "cgroup.events")


@pytest.mark.parametrize("when", ["in the call", "once it is over"])
@pytest.mark.parametrize("what", VANISHING)
def test_a_result_is_reported_even_if_files_vanish_after_the_call(
    kernel, theirs, monkeypatch, what, when
):
    """A service manager removes a cgroup as soon as it is empty."""
    victim = subprocess.Popen(["sleep", "60"])
    (theirs.directory / "cgroup.procs").write_text(f"{victim.pid}\n")

    def vanish():
        if what == "*":
            (theirs.directory / "cgroup.procs").write_text("")
            theirs.directory.rmdir()
        for file in theirs.directory.glob(what):
            file.unlink()

    def react(_call):
        if len(kernel.calls) > 1:
            return 0
        victim.kill()
        kernel.says(victim.pid, "sleep", "/theirs")
        if when == "in the call":
            vanish()
        return 1

    settle = waits.Waits.settle

    def settled(self, *arguments):
        done = settle(self, *arguments)
        if when == "once it is over" and theirs.directory.exists():
            vanish()
        return done

    monkeypatch.setattr(waits.Waits, "settle", settled)
    kernel.react = react
    step = Step(Call("/theirs", 0, 1), repeat=2)
    try:
        outcome = run(kernel, Plan((), (), (), (step,), "/theirs", timeout=5.0))
    finally:
        victim.kill()
        victim.wait()
    assert outcome.calls[0].verdict.name == "killed"
    assert [str(row.fate) for row in outcome.tasks] == ["oom-killed"]
    if what == "*":
        assert (outcome.memory_after, outcome.events) == (None, {})
        assert any("was removed" in note for note in outcome.notes)
        assert outcome.failure is not None  # the second call has no target any more
        assert not outcome.as_wanted
