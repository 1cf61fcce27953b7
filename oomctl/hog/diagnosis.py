"""Why a hog did not reach its size, or did not stay: the step, who ended it, and which limit."""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from oomctl.cgroup.limits import Limit, reached, refusals
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError
from oomctl.hog.protocol import WANT, Report, Step, failure, hint, interrupted, no_task
from oomctl.oom.enums import FateKind
from oomctl.oom.fate import Death, Fate, fate_of
from oomctl.oom.hogexit import HogExit, own_end
from oomctl.oom.plan import Hog
from oomctl.proc import procfs

_LOG_IS_LATE = 1.0
"""Seconds after a victim's end until the log names it: printed after SIGKILL (oom_kill_process)."""


class Why(NamedTuple):
    """What happened, in words, and what to do about it."""

    reason: str
    hint: str


class Diagnosis:
    """Explains the failures of hogs; made before the first of them starts.

    `oom_killed` tells whether the OOM killer has taken a PID.
    """

    def __init__(
        self, root: UnifiedNode, hogs: Sequence[Hog], oom_killed: Callable[[int], bool]
    ) -> None:
        self._root = root
        self._own = procfs.unified_path(Path("/proc/self/cgroup").read_bytes())
        self._oom_killed = oom_killed
        homes = {self._own, *(cgroup for hog in hogs for cgroup in _homes(hog))}
        self._refused = refusals(root, homes, any(hog.kind == "hugetlb" for hog in hogs))

    def of_start(self, error: OomctlError) -> OomctlError:
        """Return the error of a hog that could not be started, with the limit if it was one."""
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EAGAIN, errno.ENOMEM):
            limit = self._reached([self._own], cause.errno == errno.EAGAIN)
            return OomctlError(error.why, f"{limit} is reached; raise it") if limit else error
        return error

    def of_step(self, hog: Hog, report: Report) -> Why:
        """Explain a step that failed."""
        if report.child:
            what = f"{failure(report.step, hog)}: its child (pid {report.child}) was "
            return self._killed(
                hog, what, Death(report.child, 0, signal=os.WTERMSIG(report.status))
            )
        limit = None
        if report.error in WANT:
            # until it has joined it lives where oomctl does
            homes = _homes(hog) if report.step > Step.JOIN else [self._own]
            limit = self._reached(homes, no_task(hog, report.error), hog.kind == "hugetlb")
        reason = failure(report.step, hog, report.error) + _told(limit)
        return Why(reason, hint(report.step, hog, report.error, limit))

    def of_death(self, hog: Hog, death: Death, came: Step) -> Why:
        """Explain the end of a hog whose last report was `came`."""
        what = f"{failure(interrupted(came, hog), hog)}: " if came < Step.READY else ""
        if death.status is not None:
            # the page of its reports is charged as well, so that a step may fail without one
            failed = death.status == HogExit.FAILED
            limit = self._reached(_homes(hog)) if failed else None
            end = own_end(death.status) or str(fate_of(death, oom_killed=False))
            return Why(what + end + _told(limit), hint(came, hog, 0, limit) if limit else "")
        return self._killed(hog, what, death)

    def of_lateness(self, hog: Hog, pid: int, came: Step, timeout: float) -> str:
        """Explain why a hog is not filled after `timeout` seconds; oomctl ends it then."""
        what = failure(interrupted(came, hog), hog)
        if not self._oom_killed(pid):
            return f"{what}: not after {timeout:g} s; oomctl ended it"
        limit = _told(self._oom(hog))
        return f"{what}: oom-killed{limit}, and has not ended after {timeout:g} s"

    def _killed(self, hog: Hog, what: str, death: Death) -> Why:
        fate = self._fate(hog, death)
        limit = self._oom(hog) if fate.kind == FateKind.OOM_KILLED else None
        cure = hint(Step.FILL, hog, 0, limit) or "see dmesg for what the kernel says of it"
        return Why(f"{what}{fate}{_told(limit)}", cure)

    def _fate(self, hog: Hog, death: Death) -> Fate:
        killed = self._oom_killed(death.pid)
        deadline = time.monotonic() + _LOG_IS_LATE
        if death.signal == signal.SIGKILL and self._oom(hog):
            while not killed and time.monotonic() < deadline:
                time.sleep(0.01)
                killed = self._oom_killed(death.pid)
        return fate_of(death, killed)

    def _oom(self, hog: Hog) -> Limit | None:
        """Return the limit whose OOM killer may have taken a hog or a child of it."""
        limit = self._reached(_homes(hog))
        return limit if limit and limit.rose[0] else None

    def _reached(
        self, cgroups: Sequence[str], tasks: bool = False, huge: bool = False
    ) -> Limit | None:
        return reached(self._root, cgroups, self._refused, tasks=tasks, huge=huge)


def _homes(hog: Hog) -> list[str]:
    return [hog.cgroup, hog.sharer] if hog.sharer else [hog.cgroup]


def _told(limit: Limit | None) -> str:
    return f": {limit} is reached" if limit else ""
