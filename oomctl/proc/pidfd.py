"""Watches processes through pidfds: when each ended, and how, if it is our child."""

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Self

from oomctl.oom.fate import Death
from oomctl.proc import openfiles
from oomctl.signals import signals_unblocked

_TICK = 0.005
_LONGEST = 3600.0  # seconds that epoll_wait(2) waits: it takes milliseconds of 31 bits
_AT_ONCE = 4096
"""Deaths that one epoll_wait(2) returns; the next one returns the others."""
_REAPED_IN = 5.0


class PidfdWatch:
    """Pidfds of any number of processes; unlike a PID, a pidfd is never reused."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._pids: dict[int, int] = {}
        self._ours: set[int] = set()
        self.deaths: dict[int, Death] = {}

    def __enter__(self) -> Self:
        """Raise the limit of file descriptors: each process takes one."""
        openfiles.raise_limit()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the pidfds; processes that live are left alone."""
        for fd in self._pids:
            os.close(fd)
        self._pids.clear()
        self._epoll.close()

    def add(self, pid: int, *, reap: bool = False, gone_ns: int | None = None) -> None:
        """Watch a process; one that is gone already counts as dead since `gone_ns`, else since now.

        With `reap` it is our own child: its wait status is read, which frees its PID. If it cannot
        be watched it is killed, and OSError is raised. A thread counts as dead, too: it has no
        pidfd (the kernel log names a thread if the leader has ended).
        """
        try:
            fd = os.pidfd_open(pid)
        except OSError as error:
            is_thread = not reap and error.errno in (errno.EINVAL, errno.ENOENT)
            if is_thread or error.errno == errno.ESRCH:
                self.deaths.setdefault(pid, Death(pid, gone_ns or time.monotonic_ns()))
                return
            if reap:  # its PID cannot be reused before it is reaped
                os.kill(pid, signal.SIGKILL)
                _reap_killed(pid)
            raise
        self._pids[fd] = pid
        if reap:
            self._ours.add(pid)
        self._epoll.register(fd, select.EPOLLIN)

    def watched(self) -> set[int]:
        """Return every PID that was added, dead or alive."""
        return {*self._pids.values(), *self.deaths}

    def kill(self, pids: Iterable[int]) -> None:
        """Send SIGKILL to these processes, if they are watched."""
        self.send(pids, signal.SIGKILL)

    def send(self, pids: Iterable[int], number: signal.Signals) -> None:
        """Send a signal to these processes, if they are watched."""
        wanted = set(pids)
        for fd, pid in list(self._pids.items()):
            if pid in wanted:
                try:
                    signal.pidfd_send_signal(fd, number)
                except ProcessLookupError:
                    continue

    @contextmanager
    def all_end(self, seconds: float) -> Iterator[list[int]]:
        """Kill the children whose PIDs the block puts into the list, if it raises.

        They are given so many seconds to end, so that they change nothing that is restored after
        it. A block that returns must have waited for their ends. Then their deaths are forgotten.
        """
        pids: list[int] = []
        try:
            yield pids
        except BaseException:
            self.kill(pids)
            self.wait(lambda: self.deaths.keys() >= {*pids}, seconds)
            raise
        finally:
            for pid in pids:
                self.deaths.pop(pid, None)

    def wait(
        self,
        done: Callable[[], bool],
        timeout: float,
        tick: Callable[[], None] | None = None,
        wake: int | None = None,
    ) -> bool:
        """Record deaths until `done()` or for `timeout` seconds; return whether it was done.

        `tick` is called about every 5 ms. `done` is called again after each death, and when the
        descriptor `wake` is readable, which it must read.
        """
        deadline = time.monotonic() + timeout
        with ExitStack() as stack:
            if wake is not None:
                self._epoll.register(wake, select.EPOLLIN)
                stack.callback(self._epoll.unregister, wake)
            while not done():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                if tick:
                    tick()
                self._poll(min(left, _TICK) if tick else left)
        return True

    def poll(self) -> None:
        """Record the deaths so far, without waiting."""
        self._poll(0)

    def _poll(self, seconds: float) -> None:
        with signals_unblocked() if seconds else nullcontext():
            events = self._epoll.poll(min(seconds, _LONGEST), _AT_ONCE)
        now = time.monotonic_ns()
        held = False
        for fd, _event in events:
            pid = self._pids.get(fd)
            if pid is None:  # `wake`
                continue
            death = _reap(fd, pid, now) if pid in self._ours else Death(pid, now)
            if death is None:
                held = True
                continue
            self._epoll.unregister(fd)
            del self._pids[fd]
            self.deaths[pid] = death
            os.close(fd)
        if held:  # its pidfd stays readable: avoid a busy loop
            with signals_unblocked():
                time.sleep(min(seconds, _TICK))


def _reap(fd: int, pid: int, now: int) -> Death | None:
    """Read the wait status of a child that has ended; None while a tracer holds it.

    The parent cannot reap a traced child (kernel/exit.c, wait_consider_task()).
    """
    ended = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    if ended is None:
        return None
    if ended.si_code == os.CLD_EXITED:
        return Death(pid, now, status=ended.si_status)
    return Death(pid, now, signal=ended.si_status)


def _reap_killed(pid: int) -> None:
    deadline = time.monotonic() + _REAPED_IN
    while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
        time.sleep(_TICK)


def look_again() -> None:
    """A tick for `PidfdWatch.wait()` that only makes it call `done` every few milliseconds."""
