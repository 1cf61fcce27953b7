"""Callers as real processes; what they pull is a toy."""

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
    """Stamps the note, stays in it for so long, and ends with a status."""

    def __init__(self, seconds=0.0, status=0):
        self.seconds, self.status = seconds, status

    def pull(self, number, shared):
        shared.began_ns = time.monotonic_ns()
        shared.ret = number
        time.sleep(self.seconds)
        shared.ended_ns = time.monotonic_ns()
        return self.status

    def answer(self, ended, shared):
        self.ended = ended
        return CallResult(
            Stage.CALLED, shared.began_ns, shared.ended_ns, shared.ret, ended.timed_out, ended.pid
        )


@pytest.fixture
def watch():
    with PidfdWatch() as watching:
        yield watching


def after_ready(monkeypatch, do):
    """Have something done with the callers when all are ready, before they are let go."""
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


def test_each_caller_has_its_own_answer_and_all_call_at_the_same_time(watch):
    answers = call_together(Toy(0.2), 8, watch, 20)
    assert [answer.ret for answer in answers] == list(range(8))
    assert len({answer.caller for answer in answers}) == 8
    assert max(a.began_ns for a in answers) < min(a.ended_ns for a in answers)
    assert not any(answer.timed_out for answer in answers)
    assert watch.deaths == {}
    assert children() == []


def test_the_status_of_a_caller_comes_through(watch):
    toy = Toy(status=22)
    call_together(toy, 1, watch, 20)
    assert toy.ended.status == 22


def test_who_does_not_come_back_is_killed_and_its_note_stays(watch):
    (answer,) = call_together(Toy(60), 1, watch, 0.2)
    assert answer.timed_out
    assert answer.began_ns > 0
    assert answer.duration_ns is None
    assert children() == []


def test_a_tick_comes_meanwhile(watch):
    ticks = []
    call_together(Toy(0.1), 2, watch, 20, lambda: ticks.append(1))
    assert len(ticks) > 3


@pytest.mark.parametrize("count", [1, 5])
def test_who_is_stopped_at_the_line_never_calls(watch, tmp_path, monkeypatch, count):
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


def test_a_fork_that_fails_ends_those_before_it(watch, monkeypatch):
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


def test_a_limit_on_processes_is_said(monkeypatch):
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
    """Tells as the real triggers do how far its caller came; one caller `does` something."""

    def __init__(self, does, who=0, began=True):
        super().__init__()
        self.does, self.who, self.began = does, who, began

    def pull(self, number, shared):
        if number == self.who and not self.began:
            self.does()
        shared.began_ns = time.monotonic_ns()
        if number == self.who:
            self.does()
        return super().pull(number, shared)

    def answer(self, ended, shared):
        if not shared.began_ns:
            raise ended.because("before it called")
        answer = super().answer(ended, shared)
        return replace(answer, failed=ended.because("during the call").why if ended.cut_off else "")


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
def test_who_does_not_get_ready_ends_them_all_and_is_named(watch, tmp_path, how, count):
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
def test_who_is_killed_at_the_line_has_not_called(watch, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[-1], signal.SIGKILL))
    says = rf"{name(count, count)} was killed by SIGKILL before it called"
    if count == 1:
        with pytest.raises(OomctlError, match=says):
            call_together(Real(int), count, watch, 60)
    else:
        *others, answer = call_together(Real(int, who=99), count, watch, 60)
        assert re.fullmatch(says, answer.failed)
        assert (answer.ret, answer.stage) == (None, Stage.NOT_RUN)
        assert all(each.ret is not None and not each.failed for each in others)
    assert children() == []


@pytest.mark.parametrize("count", [1, 2, 8])
def test_who_is_stopped_at_the_line_is_late(watch, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[0], signal.SIGSTOP))
    says = r"was killed at the timeout of 0.5 s \(state: stopped\) before it called"
    if count == 1:
        with pytest.raises(OomctlError, match=f"{says}; give more time with --timeout"):
            call_together(Real(int, who=99), count, watch, 0.5)
    else:
        answer, *others = call_together(Real(int, who=99), count, watch, 0.5)
        assert re.fullmatch(f"{name(count)} {says}", answer.failed)
        assert not any(each.failed or each.timed_out for each in others)
    assert children() == []


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("how", HOW)
def test_who_ends_in_the_trigger_says_so(watch, how, count):
    does, says = HOW[how]
    late = how in ("hangs", "stopped")
    answers = call_together(Real(does), count, watch, 0.5 if late else 60)
    assert [each.timed_out for each in answers] == [late] + [False] * (count - 1)
    assert not any(each.failed for each in answers[1:])
    if not late:
        assert re.match(f"{name(count)} {says}", answers[0].failed)
    assert children() == []


def test_an_error_of_every_caller_is_raised_as_what_it_is(watch):
    with pytest.raises(UnsupportedError) as caught:
        call_together(Real(fail, began=False), 1, watch, 60)
    assert re.fullmatch(
        rf"{name(1)} failed before it called: no such cgroup here; make it", str(caught.value)
    )


def test_an_error_is_cut_to_what_the_shared_memory_takes(watch):
    def talk():
        raise OomctlError("\udcff" + "x" * 10_000, "y" * 10_000)

    with pytest.raises(OomctlError) as caught:
        call_together(Toy(), 2, watch, 60, prepare=talk)
    assert 2000 < len(str(caught.value)) < 5000
