"""Watches processes through pidfds: when each ended, and how, if it was our child."""

import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable
from typing import Self

from oomctl.fate import Death
from oomctl.kernel.interrupt import let_through

_TICK = 0.005


class DeathWatch:
    """Pidfds of any number of processes; a pidfd cannot be fooled by a reused PID."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._pids: dict[int, int] = {}
        self._ours: set[int] = set()
        self.deaths: dict[int, Death] = {}

    def __enter__(self) -> Self:
        """Begin to watch; each process takes a file descriptor, so raise their limit."""
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the pidfds; whoever still lives goes on living."""
        for fd in self._pids:
            os.close(fd)
        self._pids.clear()

    def add(self, pid: int, *, reap: bool = False) -> None:
        """Watch a process; one that is gone already counts as dead now.

        `reap` is for a child that we started ourselves: its wait status is read, and it is gone
        for good then. If it cannot be watched it is killed.
        """
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.deaths.setdefault(pid, Death(pid, time.monotonic_ns()))
            return
        except OSError:
            if reap:  # until it is reaped its PID is no other's
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            raise
        self._pids[fd] = pid
        if reap:
            self._ours.add(pid)
        self._poll.register(fd, select.POLLIN)

    def watched(self) -> set[int]:
        """Return every PID that was added, dead or alive."""
        return {*self._pids.values(), *self.deaths}

    def kill(self, pids: Iterable[int]) -> None:
        """Send SIGKILL to those of the watched processes."""
        wanted = set(pids)
        for fd, pid in list(self._pids.items()):
            if pid in wanted:
                try:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def wait(
        self, done: Callable[[], bool], timeout: float, tick: Callable[[], None] | None = None
    ) -> bool:
        """Note deaths until `done()` or until `timeout` seconds are over; tell whether done.

        `tick` is called about every 5 ms meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if tick:
                tick()
            self._note(min(left, _TICK) if tick else left)
        return True

    def note(self) -> None:
        """Note the deaths that have come, without waiting."""
        self._note(0)

    def _note(self, seconds: float) -> None:
        with let_through():
            events = self._poll.poll(seconds * 1000)
        now = time.monotonic_ns()
        for fd, _event in events:
            pid = self._pids.pop(fd)
            self._poll.unregister(fd)
            self.deaths[pid] = _reap(fd, pid, now) if pid in self._ours else Death(pid, now)
            os.close(fd)


def _reap(fd: int, pid: int, now: int) -> Death:
    ended = os.waitid(os.P_PIDFD, fd, os.WEXITED)
    if ended is None or ended.si_code == os.CLD_EXITED:
        return Death(pid, now, status=ended.si_status if ended else None)
    return Death(pid, now, signal=ended.si_status)
