"""Callers as real processes with fake triggers."""

import contextlib
import errno
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import callers
from oomctl.experiment.callers import call_together
from oomctl.oom.call import CallResult, Stage
from oomctl.proc import fork
from oomctl.proc.pidfd import PidfdWatch
from tests.descriptors import descriptors


class Toy:
    """A trigger that takes `seconds` and ends with a status."""

    def __init__(self, seconds=0.0, status=0):
        self.seconds, self.status = seconds, status

    def pull(self, number, shared):
        shared.began_ns = time.monotonic_ns()
        shared.ret = number
        time.sleep(self.seconds)
        shared.ended_ns = time.monotonic_ns()
        return self.status

    def result(self, end, shared):
        self.end = end
        return CallResult(
            Stage.CALLED, shared.began_ns, shared.ended_ns, shared.ret, end.timed_out, end.pid
        )


@pytest.fixture
def watch():
    with PidfdWatch() as watching:
        yield watching


def after_ready(monkeypatch, do):
    """Do something with the callers when all are ready and before any calls."""
    await_ready = callers._await_ready

    def both(ready, children, *rest):
        await_ready(ready, children, *rest)
        do([each.pid for each in children])

    monkeypatch.setattr(callers, "_await_ready", both)


def children():
    """Return the PIDs of our children, dead or alive."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def test_callers_call_at_the_same_time_and_each_has_its_own_result(watch):
    results = call_together(Toy(0.2), 8, watch, 20)
    assert [result.ret for result in results] == list(range(8))
    assert len({result.caller for result in results}) == 8
    assert max(a.began_ns for a in results) < min(a.ended_ns for a in results)
    assert not any(result.timed_out for result in results)
    assert watch.deaths == {}
    assert children() == []


def test_the_trigger_gets_the_exit_status(watch):
    toy = Toy(status=22)
    call_together(toy, 1, watch, 20)
    assert toy.end.status == 22


def test_a_caller_that_does_not_return_is_killed_and_its_shared_memory_stays(watch):
    (result,) = call_together(Toy(60), 1, watch, 0.2)
    assert result.timed_out
    assert result.began_ns > 0
    assert result.duration_ns is None
    assert children() == []


def test_tick_is_called_while_the_callers_run(watch):
    ticks = []
    call_together(Toy(0.1), 2, watch, 20, lambda: ticks.append(1))
    assert len(ticks) > 3


@pytest.mark.parametrize("count", [1, 5])
def test_no_caller_calls_if_oomctl_is_interrupted_before(watch, tmp_path, monkeypatch, count):
    called = tmp_path / "called"

    class Marks(Toy):
        def pull(self, number, shared):
            called.touch()
            return 0

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGINT, stop)
    after_ready(monkeypatch, lambda _pids: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(StoppedError):
            call_together(Marks(), count, watch, 20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert children() == []
    time.sleep(0.05)
    assert not called.exists()


def test_a_fork_that_fails_ends_the_callers_before_it(watch, monkeypatch):
    real_fork, forks = os.fork, []

    def some():
        if len(forks) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forks.append(1)
        return real_fork()

    monkeypatch.setattr(os, "fork", some)
    before = descriptors()
    with pytest.raises(OomctlError, match="a limit on processes is reached"):
        call_together(Toy(), 4, watch, 20)
    assert children() == []
    assert descriptors() == before


def test_the_error_names_a_limit_on_processes(monkeypatch):
    def full():
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(OomctlError) as caught:
        fork.forked(int, b"oomctl-caller")
    assert str(caught.value) == (
        "cannot start the process oomctl-caller: Resource temporarily unavailable; a limit on "
        "processes is reached: see pids.max of its cgroups and `ulimit -u`"
    )


class Real(Toy):
    """A trigger with the errors of a real one; the caller with that number runs `does`."""

    def __init__(self, does, caller=0, began=True):
        super().__init__()
        self.does, self.caller, self.began = does, caller, began

    def pull(self, number, shared):
        if number == self.caller and not self.began:
            self.does()
        shared.began_ns = time.monotonic_ns()
        if number == self.caller:
            self.does()
        return super().pull(number, shared)

    def result(self, end, shared):
        if not shared.began_ns:
            raise end.failure("before it called")
        result = super().result(end, shared)
        return replace(result, failed=end.failure("during the call").why if end.cut_off else "")


def kill_self(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def refuse():
    raise PermissionError(errno.EACCES, "Permission denied", "/sys/fs/cgroup/t/cgroup.procs")


def fail():
    raise UnsupportedError("no such cgroup\nhere", "make it")


HOW = {
    "killed": (kill_self, "was killed by SIGKILL"),
    "signalled": (lambda: kill_self(signal.SIGUSR1), "was killed by SIGUSR1"),
    "errno": (refuse, "failed .*: Permission denied: /sys/fs/cgroup/t/cgroup.procs"),
    "error": (fail, "failed .*: no such cgroup here"),
    "exit": (lambda: sys.exit(3), "failed .*: SystemExit: 3"),
    "bug": (lambda: {}["x"], "failed .*: KeyError: 'x'"),
    "hangs": (lambda: time.sleep(60), ""),
    "stopped": (lambda: kill_self(signal.SIGSTOP), "stopped"),
}


def name(count, number=1):
    return r"the caller \(pid \d+\)" if count == 1 else rf"caller {number} of {count} \(pid \d+\)"


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("how", HOW)
def test_a_caller_that_does_not_get_ready_ends_all_and_is_named(watch, tmp_path, how, count):
    does, says = HOW[how]
    first = tmp_path / "first"

    def prepare():
        with contextlib.suppress(FileExistsError):
            first.touch(exist_ok=False)
            does()

    late = how in ("hangs", "stopped")
    if late:
        says = r"was not ready to call after 0.5 s: it is (sleeping|stopped); give more time"
    before, began = descriptors(), time.monotonic()
    with pytest.raises(OomctlError) as caught:
        call_together(Toy(), count, watch, 0.5 if late else 60, prepare=prepare)
    assert re.match(rf"{name(count, '[1-8]')} {says}", str(caught.value))
    assert time.monotonic() - began < 30
    assert (children(), descriptors(), watch.deaths) == ([], before, {})
    assert len(caught.value.lines) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_caller_that_is_killed_when_ready_has_not_called(watch, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[-1], signal.SIGKILL))
    says = rf"{name(count, count)} was killed by SIGKILL before it called"
    if count == 1:
        with pytest.raises(OomctlError, match=says):
            call_together(Real(int), count, watch, 60)
    else:
        *others, result = call_together(Real(int, caller=99), count, watch, 60)
        assert re.fullmatch(says, result.failed)
        assert (result.ret, result.stage) == (None, Stage.NOT_RUN)
        assert all(each.ret is not None and not each.failed for each in others)
    assert children() == []


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_caller_that_is_stopped_when_ready_is_late(watch, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[0], signal.SIGSTOP))
    says = r"was killed at the timeout of 0.5 s \(state: stopped\) before it called"
    if count == 1:
        with pytest.raises(OomctlError, match=f"{says}; give more time with --timeout"):
            call_together(Real(int, caller=99), count, watch, 0.5)
    else:
        result, *others = call_together(Real(int, caller=99), count, watch, 0.5)
        assert re.fullmatch(f"{name(count)} {says}", result.failed)
        assert not any(each.failed or each.timed_out for each in others)
    assert children() == []


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("how", HOW)
def test_the_result_says_how_a_caller_ended_in_the_trigger(watch, how, count):
    does, says = HOW[how]
    late = how in ("hangs", "stopped")
    results = call_together(Real(does), count, watch, 0.5 if late else 60)
    assert [each.timed_out for each in results] == [late] + [False] * (count - 1)
    assert not any(each.failed for each in results[1:])
    if not late:
        assert re.match(f"{name(count)} {says}", results[0].failed)
    assert children() == []


def test_an_error_of_every_caller_is_raised_with_its_type(watch):
    with pytest.raises(UnsupportedError) as caught:
        call_together(Real(fail, began=False), 1, watch, 60)
    assert re.fullmatch(
        rf"{name(1)} failed before it called: no such cgroup here; make it", str(caught.value)
    )


def test_an_error_is_cut_to_the_size_of_the_shared_memory(watch):
    def talk():
        raise OomctlError("\udcff" + "x" * 10_000, "y" * 10_000)

    with pytest.raises(OomctlError) as caught:
        call_together(Toy(), 2, watch, 60, prepare=talk)
    assert 2000 < len(str(caught.value)) < 5000
