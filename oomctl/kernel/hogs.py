"""Starts hogs in their cgroups and hands them over when each holds its memory."""

import os
import select
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from oomctl import talk
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.fate import fate_of
from oomctl.filled import Filled
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.hogreport import READ_SIZE, Report, Step, failure, hint, reports
from oomctl.kernel.hogstart import start
from oomctl.kernel.interrupt import let_through
from oomctl.plan import Hog
from oomctl.units import format_size

_NO_RAM = frozenset({"file", "hugetlb"})
"""Kinds that need no free memory: page cache makes room, huge pages are set aside already."""

_STOPS_IN = 5.0
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass
class Runner:
    """A hog that runs: its plan, its PID, and how it came to its size.

    `filled` is None as long as it has not, or where it did not; `failed` says why then.
    """

    hog: Hog
    pid: int
    filled: Filled | None = None
    failed: str = ""

    def __str__(self) -> str:
        return f"'{self.hog.name}' ({format_size(self.hog.size)}, pid {self.pid})"


class NotFilledError(UnsupportedError):
    """A hog did not reach its size; `reason` says at which step and why."""

    def __init__(self, runner: Runner, reason: str, hint: str = "") -> None:
        super().__init__(f"the hog {runner} {reason}", hint)
        self.runner = runner
        self.reason = reason


class Herd:
    """All hogs of an experiment: filled when the block is entered, gone when it is left."""

    def __init__(
        self,
        hogs: Sequence[Hog],
        root: UnifiedNode,
        watch: DeathWatch,
        timeout: float,
        keep: bool = False,
        oom_killed: Callable[[int], bool] = lambda _pid: False,
    ) -> None:
        self._hogs = hogs
        self._oom_killed = oom_killed
        self._root = root
        self._watch = watch
        self._timeout = timeout + max((hog.size / hog.rate for hog in hogs if hog.rate), default=0)
        self._keep = keep
        self._alone = {cgroup for cgroup, n in Counter(hog.cgroup for hog in hogs).items() if n < 2}
        self._reports: dict[int, Runner] = {}
        self._came: dict[int, Step] = {}
        self._leash: list[int] = []
        self.runners: list[Runner] = []

    def __enter__(self) -> Self:
        """Start every hog and wait until all are filled.

        A hog that fails ends them all, unless it may fail. Raises NotFilledError for one that does
        not reach its size, UnsupportedError for what else it could not do.
        """
        _require_memory(self._hogs)
        _require_thp(self._hogs)
        try:
            if any(hog.kind == "traced" for hog in self._hogs) and not self._keep:
                self._leash = list(os.pipe2(os.O_CLOEXEC))
            for hog in self._hogs:
                self._start(hog)
            self._wait_filled()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        """Kill and reap what is left, unless they are to be kept."""
        if not (self._keep and kind is None):
            self._end()

    def require_alive(self) -> None:
        """Raise UnsupportedError if a hog ended by itself or by somebody else meanwhile.

        Those that may fail are left out.
        """
        self._watch.note()
        for runner in self.runners:
            if runner.pid in self._watch.deaths and not runner.hog.may_fail:
                raise UnsupportedError(
                    f"the hog {runner} did not live to see the declaration: {self._fate(runner)}",
                    "a memory limit above its cgroup or somebody else ended it; see dmesg",
                )

    def _start(self, hog: Hog) -> None:
        pid, reader = start(
            hog,
            self._root,
            parent=0 if self._keep else os.getpid(),
            alone=hog.cgroup in self._alone,
            leash=self._leash[0] if self._leash else None,
        )
        runner = Runner(hog, pid)
        self._reports[reader] = runner
        self._came[reader] = Step.START
        self._watch.add(pid, reap=True)
        self.runners.append(runner)

    def _wait_filled(self) -> None:
        poll = select.poll()
        for fd in self._reports:
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + self._timeout
        while self._reports:
            left = deadline - time.monotonic()
            if left <= 0:
                self._late()
                return
            with let_through():
                ready = poll.poll(left * 1000)
            for fd, _event in ready:
                if self._hear(fd):
                    poll.unregister(fd)
                    self._hang_up(fd)
            done = len(self.runners) - len(self._reports)
            talk.progress_bar("filling hogs", done, len(self.runners))

    def _hear(self, fd: int) -> bool:
        """Take what a hog reports; tell whether there is no more to come."""
        runner = self._reports[fd]
        data = os.read(fd, READ_SIZE)
        if not data:
            self._fail_by_death(runner, self._came[fd])
            return True
        for report in reports(data):
            self._came[fd] = report.step
            if report.error:
                self._fail_by_error(runner, report)
                return True
            if report.step is Step.READY:
                runner.filled = report.filled(runner.hog)
                if runner.hog.kind == "stopped":
                    # it stops right after it said so, unless somebody lets it go on
                    self._watch.wait(lambda: _stopped(runner.pid), _STOPS_IN, lambda: None)
                return True
        return False

    def _hang_up(self, fd: int) -> None:
        os.close(fd)
        del self._reports[fd]

    def _late(self) -> None:
        for fd, runner in list(self._reports.items()):
            if runner.hog.may_fail:
                step = Step.FILL if self._came[fd] >= Step.JOIN else Step.START
                runner.failed = f"{failure(step, runner.hog)}: not after {self._timeout:g} s"
                self._hang_up(fd)
        if self._reports:
            slow = ", ".join(runner.hog.name for runner in self._reports.values())
            raise OomctlError(
                f"not filled after {self._timeout:g} s: {slow}", "give more time with --timeout"
            )

    def _fail_by_error(self, runner: Runner, report: Report) -> None:
        reason = failure(report.step, runner.hog, report.error)
        cure = hint(report.step, runner.hog, report.error)
        if report.step not in (Step.MAP, Step.FILL):
            raise UnsupportedError(f"the hog {runner} {reason}", cure)
        self._not_filled(runner, reason, cure)

    def _fail_by_death(self, runner: Runner, came: Step) -> None:
        self._watch.wait(lambda: runner.pid in self._watch.deaths, 5)
        step = Step.FILL if came >= Step.JOIN else Step.START
        self._not_filled(
            runner,
            f"{failure(step, runner.hog)}: {self._fate(runner)}",
            "memory.max of its cgroup or of one above it is reached, or somebody else ended it; "
            "see dmesg",
        )

    def _not_filled(self, runner: Runner, reason: str, cure: str) -> None:
        if not runner.hog.may_fail:
            raise NotFilledError(runner, reason, cure)
        runner.failed = reason

    def _fate(self, runner: Runner) -> str:
        return str(fate_of(self._watch.deaths.get(runner.pid), self._oom_killed(runner.pid)))

    def _end(self) -> None:
        if self._leash:
            # a forked process may hold the pipe open, so that closing it alone says nothing
            os.write(self._leash[1], b"0")
        for fd in (*self._leash, *self._reports):
            os.close(fd)
        self._leash.clear()
        self._reports.clear()
        pids = {runner.pid for runner in self.runners}
        self._watch.kill(pids)
        if not self._watch.wait(lambda: pids <= self._watch.deaths.keys(), 10):
            left = ", ".join(map(str, sorted(pids - self._watch.deaths.keys())))
            raise OomctlError(f"these hogs do not die: {left}", "see `cat /proc/PID/stack` for why")


def _stopped(pid: int) -> bool:
    """Tell whether a child has stopped or ended; its end is noted elsewhere, or was already."""
    any_end = os.WSTOPPED | os.WEXITED
    try:
        return os.waitid(os.P_PID, pid, any_end | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _require_memory(hogs: Sequence[Hog]) -> None:
    wanted = sum(hog.size for hog in hogs if hog.kind not in _NO_RAM and not hog.may_fail)
    available = psutil.virtual_memory().available
    if wanted > available:
        raise UnsupportedError(
            f"the hogs want {format_size(wanted)}, this machine has {format_size(available)} left",
            "ask for less, or the machine itself runs out of memory before the declaration",
        )


def _require_thp(hogs: Sequence[Hog]) -> None:
    asking = [hog.name for hog in hogs if hog.thp]
    if asking and (not _THP.exists() or "[never]" in _THP.read_text()):
        raise UnsupportedError(
            f"the hog '{asking[0]}' wants transparent huge pages, which this kernel does not give",
            f"allow them with `echo madvise >{_THP}`, or leave out thp",
        )
