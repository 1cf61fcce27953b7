"""Starts hogs in their cgroups and hands them over when each holds its memory."""

import fcntl
import os
import platform
import select
import signal
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import psutil

from oomctl import resources, talk
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.fate import fate_of
from oomctl.kernel.cgroups import UnifiedNode, explain
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.interrupt import let_through
from oomctl.plan import Hog
from oomctl.units import format_size

_REPORT = struct.Struct("=ii")
_REPORT_FD, _PROCS_FD = 3, 4


class Step(IntEnum):
    """How far a hog came; equal to `enum step` in hog/hog.c."""

    START = 0
    JOIN = 1
    ADJUST = 2
    MAP = 3
    FILL = 4
    READY = 5


_FAILED = {
    Step.START: "did not start",
    Step.JOIN: "could not join its cgroup",
    Step.ADJUST: "could not set its oom_score_adj",
    Step.MAP: "could not map its memory",
    Step.FILL: "could not fill its memory",
}


@dataclass(frozen=True)
class Runner:
    """A hog that runs: its plan and its PID."""

    hog: Hog
    pid: int

    def __str__(self) -> str:
        return f"'{self.hog.name}' ({format_size(self.hog.size)}, pid {self.pid})"


class Herd:
    """All hogs of an experiment: filled when the block is entered, gone when it is left."""

    def __init__(
        self,
        hogs: Sequence[Hog],
        root: UnifiedNode,
        watch: DeathWatch,
        timeout: float,
        keep: bool = False,
    ) -> None:
        self._hogs = hogs
        self._root = root
        self._watch = watch
        self._timeout = timeout
        self._reports: dict[int, Runner] = {}
        self.runners: list[Runner] = []
        self._keep = keep

    def __enter__(self) -> Self:
        """Start every hog and wait until all are filled; a hog that fails ends them all."""
        _require_memory(self._hogs)
        try:
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
        """Raise UnsupportedError if a hog ended by itself or by somebody else meanwhile."""
        self._watch.note()
        for runner in self.runners:
            if runner.pid in self._watch.deaths:
                raise self._ended(runner, "did not live to see the declaration")

    def _start(self, hog: Hog) -> None:
        binary = resources.built(f"hog.{platform.machine()}")
        procs = self._root.at(hog.cgroup).directory / "cgroup.procs"
        try:
            joining = os.open(procs, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise explain(error, procs, "open") from error
        reader, writer = os.pipe2(os.O_CLOEXEC)
        opened = [writer, joining]
        # Above the numbers that the hog wants, so that neither dup2 overwrites the other's source.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in opened]
        parent = 0 if self._keep else os.getpid()
        arguments = [hog.name, str(parent), str(hog.oom_score_adj), str(hog.size)]
        try:
            pid = os.posix_spawn(
                binary,
                [str(binary), *arguments],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, high[0], _REPORT_FD),
                    (os.POSIX_SPAWN_DUP2, high[1], _PROCS_FD),
                ],
                # a group of its own: Ctrl-C at the terminal is for oomctl, not for the hogs
                setpgroup=0,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
            )
        except OSError as error:
            os.close(reader)
            raise OomctlError(
                f"cannot start the hog '{hog.name}' from {binary}: {error.strerror}",
                "install oomctl again" if error.errno else "",
            ) from error
        finally:
            for fd in (*opened, *high):
                os.close(fd)
        runner = Runner(hog, pid)
        self.runners.append(runner)
        self._reports[reader] = runner
        self._watch.add(pid, reap=True)

    def _wait_filled(self) -> None:
        poll = select.poll()
        for fd in self._reports:
            poll.register(fd, select.POLLIN)
        came = dict.fromkeys(self._reports, Step.START)
        waiting = set(self._reports)
        deadline = time.monotonic() + self._timeout
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                slow = ", ".join(self._reports[fd].hog.name for fd in sorted(waiting))
                raise OomctlError(
                    f"not filled after {self._timeout:g} s: {slow}", "give more time with --timeout"
                )
            with let_through():
                ready = poll.poll(left * 1000)
            for fd, _event in ready:
                data = os.read(fd, _REPORT.size)
                step, error = _REPORT.unpack(data) if data else (came[fd] + 1, 0)
                if not data or error:
                    raise self._failure(self._reports[fd], Step(step), error)
                came[fd] = Step(step)
                if step == Step.READY:
                    waiting.discard(fd)
                    poll.unregister(fd)
                    os.close(fd)
                    del self._reports[fd]
            talk.progress_bar("filling hogs", len(came) - len(waiting), len(came))

    def _failure(self, runner: Runner, step: Step, error: int) -> OomctlError:
        hog = runner.hog
        if error:
            return UnsupportedError(
                f"the hog {runner} {_FAILED[step]}: {os.strerror(error)}", _hint(step, hog)
            )
        return self._ended(runner, _FAILED[step])

    def _ended(self, runner: Runner, what: str) -> OomctlError:
        self._watch.wait(lambda: runner.pid in self._watch.deaths, 5)
        fate = fate_of(self._watch.deaths.get(runner.pid), oom_killed=False)
        return UnsupportedError(
            f"the hog {runner} {what}: {fate}",
            "a memory limit above its cgroup or somebody else ended it; see dmesg",
        )

    def _end(self) -> None:
        pids = {runner.pid for runner in self.runners}
        self._watch.kill(pids)
        gone = self._watch.wait(lambda: pids <= self._watch.deaths.keys(), 10)
        for fd in self._reports:
            os.close(fd)
        self._reports.clear()
        if not gone:
            left = ", ".join(map(str, sorted(pids - self._watch.deaths.keys())))
            raise OomctlError(f"these hogs do not die: {left}", "see `cat /proc/PID/stack` for why")


def _hint(step: Step, hog: Hog) -> str:
    if step is Step.ADJUST and hog.oom_score_adj < 0:
        return "lowering oom_score_adj needs CAP_SYS_RESOURCE, which root may lack in a container"
    if step in (Step.MAP, Step.FILL):
        return "ask for less with --size or --hog"
    return ""


def _require_memory(hogs: Sequence[Hog]) -> None:
    wanted, available = sum(hog.size for hog in hogs), psutil.virtual_memory().available
    if wanted > available:
        raise UnsupportedError(
            f"the hogs want {format_size(wanted)}, this machine has {format_size(available)} left",
            "ask for less, or the machine itself runs out of memory before the declaration",
        )
