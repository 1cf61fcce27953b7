"""Starts hogs in their cgroups and waits until each holds its memory."""

import contextlib
import os
import select
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from oomctl import console
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.hog.diagnosis import Diagnosis, Explanation
from oomctl.hog.pagecache import find_place
from oomctl.hog.protocol import READ_SIZE, Report, Step, is_shortage, reports
from oomctl.hog.readback import read_holdings
from oomctl.hog.requirements import require_files, require_memory, require_thp
from oomctl.hog.spawn import Starter
from oomctl.oom.holdings import Filled, Holdings
from oomctl.oom.plan import Hog
from oomctl.proc import procfs
from oomctl.proc.pidfd import PidfdWatch, look_again
from oomctl.signals import signals_unblocked
from oomctl.units import format_size

_STOPS_IN = 5.0  # seconds
_ENDS_IN = 10.0
_TICK = 0.005
_LONGEST = 3600.0  # seconds that epoll_wait(2) waits: it takes milliseconds of 31 bits


@dataclass
class RunningHog:
    """A started hog: its plan, its PID, and how it was filled.

    `filled` is None until it reports that; if it fails instead, `failed` says why. `holds` is what
    it held once all hogs were filled.
    """

    hog: Hog
    pid: int
    filled: Filled | None = None
    failed: str = ""
    holds: Holdings | None = None

    def __str__(self) -> str:
        return f"'{self.hog.name}' ({format_size(self.hog.size)}, pid {self.pid})"


class NotFilledError(UnsupportedError):
    """A hog did not reach its size; `reason` says in which step and why."""

    def __init__(self, running_hog: RunningHog, reason: str, hint: str = "") -> None:
        super().__init__(f"the hog {running_hog} {reason}", hint)
        self.running_hog = running_hog
        self.reason = reason


class HogSet:
    """All hogs of a round: filled when the block is entered, ended when it is left.

    Those named in `late` are started by start(). `tick` is called all the time while hogs fill.
    `fresh` cgroups were made for them, so that none of their limits has refused anything yet.
    """

    def __init__(
        self,
        hogs: Sequence[Hog],
        root: UnifiedNode,
        watch: PidfdWatch,
        timeout: float,
        keep: bool = False,
        oom_killed: Callable[[int], bool] = lambda _pid: False,
        late: Collection[str] = (),
        tick: Callable[[], None] | None = None,
        fresh: Collection[str] = (),
    ) -> None:
        self._hogs = hogs
        self._late_ones = late
        self._tick = tick
        self._diagnosis = Diagnosis(root, hogs, oom_killed, fresh)
        self._root = root
        self._watch = watch
        self._timeout = timeout + max((hog.size / hog.rate for hog in hogs if hog.rate), default=0)
        self._keep = keep
        self._alone = {cgroup for cgroup, n in Counter(hog.cgroup for hog in hogs).items() if n < 2}
        self._reports: dict[int, RunningHog] = {}
        self._last_steps: dict[int, Step] = {}
        self._leash: list[int] = []
        self.runners: list[RunningHog] = []

    def __enter__(self) -> Self:
        """Start every hog and wait until all are filled.

        If a hog fails that must not fail, all are ended. Raises NotFilledError if it did not reach
        its size, UnsupportedError for other failures.
        """
        require_memory(self._hogs)
        require_files(self._hogs)
        require_thp(self._hogs)
        own_files = [hog.size for hog in self._hogs if hog.kind == "file" and not hog.path]
        self._place = find_place(sum(own_files)) if own_files else None
        try:
            if any(hog.kind == "traced" for hog in self._hogs) and not self._keep:
                self._leash = list(os.pipe2(os.O_CLOEXEC))
            self._fill(hog for hog in self._hogs if hog.name not in self._late_ones)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        """Kill and reap the remaining hogs, unless they are to be kept."""
        if not (self._keep and kind is None):
            self._end()

    def start(self, name: str) -> None:
        """Start a hog of those that come later, and wait until it is filled.

        Raises as entering the block does, but ends no hog.
        """
        self._fill(hog for hog in self._hogs if hog.name == name)

    def require_alive(self) -> None:
        """Raise UnsupportedError if a hog that must not fail has ended."""
        self._watch.poll()
        for running_hog in self.runners:
            if running_hog.pid in self._watch.deaths and not running_hog.hog.may_fail:
                death = self._watch.deaths[running_hog.pid]
                why = self._diagnosis.of_death(running_hog.hog, death, Step.READY)
                raise UnsupportedError(
                    f"the hog {running_hog} ended before the call: {why.reason}",
                    why.hint,
                )

    def _fill(self, hogs: Iterable[Hog]) -> None:
        before = len(self.runners)
        with Starter(
            self._root,
            parent=0 if self._keep else os.getpid(),
            leash=self._leash[0] if self._leash else None,
            place=self._place,
        ) as self._starter:
            for hog in hogs:
                self._start(hog)
        self._wait_filled()
        self._read_back(self.runners[before:])

    def _start(self, hog: Hog) -> None:
        try:
            pid, reader = self._starter.start(hog, alone=hog.cgroup in self._alone)
        except OomctlError as error:
            raise self._diagnosis.of_start(error) from error
        running_hog = RunningHog(hog, pid)
        self._reports[reader] = running_hog
        self._last_steps[reader] = Step.START
        self._watch.add(pid, reap=True)
        self.runners.append(running_hog)

    def _wait_filled(self) -> None:
        with select.epoll() as epoll:
            self._await_reports(epoll)

    def _await_reports(self, epoll: select.epoll) -> None:
        for fd in self._reports:
            epoll.register(fd, select.EPOLLIN)
        deadline = time.monotonic() + self._timeout
        while self._reports:
            left = deadline - time.monotonic()
            if left <= 0:
                self._late()
                return
            with signals_unblocked():
                ready = epoll.poll(min(left, _TICK if self._tick else _LONGEST))
            for fd, _event in ready:
                if self._drain(fd):
                    epoll.unregister(fd)
                    self._hang_up(fd)
            done = len(self.runners) - len(self._reports)
            console.progress_bar("filling hogs", done, len(self.runners))
            if self._tick:
                self._tick()

    def _read_back(self, runners: Sequence[RunningHog]) -> None:
        filled = [running_hog for running_hog in runners if running_hog.filled]
        nodes = {each.hog.cgroup: self._root.at(each.hog.cgroup) for each in filled}
        members = {name: frozenset(node.controller.procs or ()) for name, node in nodes.items()}
        for each in filled:
            cgroup = each.hog.cgroup
            each.holds = read_holdings(each.hog, each.pid, nodes[cgroup], members[cgroup])

    def _drain(self, fd: int) -> bool:
        """Read a hog's reports; return whether that was the last."""
        running_hog = self._reports[fd]
        data = os.read(fd, READ_SIZE)
        if not data:
            self._fail_by_death(running_hog, self._last_steps[fd])
            return True
        for report in reports(data):
            self._last_steps[fd] = report.step
            if report.error:
                self._fail_by_error(running_hog, report)
                return True
            if report.step is Step.READY:
                running_hog.filled = report.filled(running_hog.hog)
                if running_hog.hog.kind == "stopped":
                    # it stops right after this report, unless another process sends SIGCONT
                    self._watch.wait(lambda: has_stopped(running_hog.pid), _STOPS_IN, look_again)
                if running_hog.hog.leader_exits:
                    self._await_leader(running_hog.pid)
                return True
        return False

    def _await_leader(self, pid: int) -> None:
        """Wait until the leader of a thread group has ended, or the whole process."""

        def has_ended() -> bool:
            with contextlib.suppress(OSError):
                return procfs.memory_holder(pid) != pid
            return True

        self._watch.wait(has_ended, _STOPS_IN, look_again)

    def _hang_up(self, fd: int) -> None:
        os.close(fd)
        del self._reports[fd]

    def _late(self) -> None:
        for fd, running_hog in list(self._reports.items()):
            if running_hog.hog.may_fail:
                running_hog.failed = self._diagnosis.of_lateness(
                    running_hog.hog, running_hog.pid, self._last_steps[fd], self._timeout
                )
                self._hang_up(fd)
                # its next report would end it by SIGPIPE; a tracer may delay its exit
                self._watch.kill({running_hog.pid})
                if running_hog.hog.kind != "traced":
                    self._await_end({running_hog.pid})
        if self._reports:
            slow = ", ".join(running_hog.hog.name for running_hog in self._reports.values())
            raise OomctlError(
                f"not filled after {self._timeout:g} s: {slow}", "give more time with --timeout"
            )

    def _fail_by_error(self, running_hog: RunningHog, report: Report) -> None:
        why = self._diagnosis.of_step(running_hog.hog, report)
        if not is_shortage(report):
            raise UnsupportedError(f"the hog {running_hog} {why.reason}", why.hint)
        self._not_filled(running_hog, why)

    def _fail_by_death(self, running_hog: RunningHog, last: Step) -> None:
        self._watch.wait(lambda: running_hog.pid in self._watch.deaths, 5)
        death = self._watch.deaths.get(running_hog.pid)
        if death is None:
            raise OomctlError(
                f"the hog {running_hog} has closed its pipe but has not exited",
                f"see `cat /proc/{running_hog.pid}/stack` for why",
            )
        self._not_filled(running_hog, self._diagnosis.of_death(running_hog.hog, death, last))

    def _not_filled(self, running_hog: RunningHog, why: Explanation) -> None:
        if not running_hog.hog.may_fail:
            raise NotFilledError(running_hog, why.reason, why.hint)
        running_hog.failed = why.reason

    def _end(self) -> None:
        if self._leash:
            # a forked process may hold the pipe open, so closing it is not enough
            os.write(self._leash[1], b"0")
        for fd in (*self._leash, *self._reports):
            os.close(fd)
        self._leash.clear()
        self._reports.clear()
        pids = {running_hog.pid for running_hog in self.runners}
        self._watch.kill(pids)
        self._await_end(pids)

    def _await_end(self, pids: set[int]) -> None:
        if not self._watch.wait(lambda: pids <= self._watch.deaths.keys(), _ENDS_IN):
            left = ", ".join(map(str, sorted(pids - self._watch.deaths.keys())))
            raise OomctlError(
                f"hogs still alive {_ENDS_IN:g} s after SIGKILL: pids {left}",
                "see `cat /proc/PID/stack` for why",
            )


def has_stopped(pid: int) -> bool:
    """Return whether a child has stopped or ended; its end is noted by the PidfdWatch."""
    any_end = os.WSTOPPED | os.WEXITED
    try:
        return os.waitid(os.P_PID, pid, any_end | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True
