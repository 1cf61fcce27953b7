"""Callers as real processes; what they pull is a toy."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from oomctl.answer import Answer, Stage
from oomctl.errors import OomctlError
from oomctl.kernel import callers, child
from oomctl.kernel.callers import call_together
from oomctl.kernel.deathwatch import DeathWatch
from tests.descriptors import descriptors


class Toy:
    """Stamps the note, stays in it for so long, and ends with a status."""

    def __init__(self, seconds=0.0, status=0):
        self.seconds, self.status = seconds, status

    def pull(self, number, note):
        note.began_ns = time.monotonic_ns()
        note.ret = number
        time.sleep(self.seconds)
        note.ended_ns = time.monotonic_ns()
        return self.status

    def answer(self, ended, note):
        self.ended = ended
        return Answer(
            Stage.CALLED, note.began_ns, note.ended_ns, note.ret, ended.timed_out, ended.pid
        )


@pytest.fixture
def watch():
    with DeathWatch() as watching:
        yield watching


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
        def pull(self, number, note):
            called.touch()
            return 0

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGINT, stop)
    await_all = callers._await_all
    monkeypatch.setattr(
        callers, "_await_all", lambda *fds: (await_all(*fds), os.kill(os.getpid(), signal.SIGINT))
    )
    try:
        with pytest.raises(StoppedError):
            call_together(Marks(), count, watch, 20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert children() == []
    time.sleep(0.05)
    assert not called.exists()


def test_a_fork_that_fails_ends_those_before_it(watch, monkeypatch):
    fork, forks = os.fork, []

    def some():
        if len(forks) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forks.append(1)
        return fork()

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
        child.forked(int, b"oomctl-caller")
    assert str(caught.value) == (
        "cannot start the process oomctl-caller: Resource temporarily unavailable; a limit on "
        "processes is reached: see pids.max of its cgroups and `ulimit -u`"
    )
