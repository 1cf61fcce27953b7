"""Why a hog did not reach its size or ended early: the step, what ended it, and which limit."""

import errno
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from oomctl.cgroup.limits import Limit, reached, refusals
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError
from oomctl.hog.protocol import NO_MEMORY, Report, Step, failure, hint, interrupted, is_no_task
from oomctl.oom.enums import FateKind
from oomctl.oom.fate import Death, Fate, fate_of
from oomctl.oom.hogexit import own_end
from oomctl.oom.plan import Hog
from oomctl.proc import procfs

_LOG_IS_LATE = 1.0
"""Seconds to wait for the log to name a victim that has ended already.

__oom_kill_process() (mm/oom_kill.c) prints after it has sent SIGKILL.
"""


class Explanation(NamedTuple):
    """What happened, and what to do about it."""

    reason: str
    hint: str


class Diagnosis:
    """Explains failures of hogs; made before the first hog starts.

    `oom_killed` returns whether the OOM killer has taken a PID. `fresh` cgroups have refused
    nothing yet.
    """

    def __init__(
        self,
        root: UnifiedNode,
        hogs: Sequence[Hog],
        oom_killed: Callable[[int], bool],
        fresh: Collection[str] = (),
    ) -> None:
        self._root = root
        self._own = procfs.unified_path(Path("/proc/self/cgroup").read_bytes())
        self._oom_killed = oom_killed
        cgroups = {self._own, *(cgroup for hog in hogs for cgroup in _cgroups(hog))}
        self._refused = refusals(root, cgroups, any(hog.kind == "hugetlb" for hog in hogs), fresh)

    def of_start(self, error: OomctlError) -> OomctlError:
        """Return the error of a hog that could not be started; it names the limit, if any."""
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EAGAIN, errno.ENOMEM):
            limit = self._reached([self._own], cause.errno == errno.EAGAIN)
            return OomctlError(error.why, f"{limit} is reached; raise it") if limit else error
        return error

    def of_step(self, hog: Hog, report: Report) -> Explanation:
        """Explain a step that failed."""
        if report.child:
            what = f"{failure(report.step, hog)}: its child (pid {report.child}) was "
            return self._killed(
                hog, what, Death(report.child, 0, signal=os.WTERMSIG(report.status))
            )
        limit = None
        if report.error in NO_MEMORY:
            # until it has joined its cgroup, it is in that of oomctl
            cgroups = _cgroups(hog) if report.step > Step.JOIN else [self._own]
            limit = self._reached(cgroups, is_no_task(hog, report.error), hog.kind == "hugetlb")
        reason = failure(report.step, hog, report.error) + _limit_text(limit)
        return Explanation(reason, hint(report.step, hog, report.error, limit))

    def of_death(self, hog: Hog, death: Death, last: Step) -> Explanation:
        """Explain the end of a hog whose last report was of the step `last`."""
        what = f"{failure(interrupted(last, hog), hog)}: " if last < Step.READY else ""
        if death.status is not None:
            return Explanation(
                what + (own_end(death.status) or str(fate_of(death, oom_killed=False))), ""
            )
        return self._killed(hog, what, death)

    def of_lateness(self, hog: Hog, pid: int, last: Step, timeout: float) -> str:
        """Explain why a hog is not filled after `timeout` seconds; then oomctl kills it."""
        what = failure(interrupted(last, hog), hog)
        if not self._oom_killed(pid):
            return f"{what} within {timeout:g} s; oomctl killed it"
        limit = _limit_text(self._oom_limit(hog))
        return f"{what}: oom-killed{limit}, and has not exited after {timeout:g} s"

    def _killed(self, hog: Hog, what: str, death: Death) -> Explanation:
        fate = self._fate(hog, death)
        limit = self._oom_limit(hog) if fate.kind == FateKind.OOM_KILLED else None
        cure = hint(Step.FILL, hog, 0, limit) or "see dmesg for the kernel's messages"
        return Explanation(f"{what}{fate}{_limit_text(limit)}", cure)

    def _fate(self, hog: Hog, death: Death) -> Fate:
        killed = self._oom_killed(death.pid)
        deadline = time.monotonic() + _LOG_IS_LATE
        if death.signal == signal.SIGKILL and self._oom_limit(hog):
            while not killed and time.monotonic() < deadline:
                time.sleep(0.01)
                killed = self._oom_killed(death.pid)
        return fate_of(death, killed)

    def _oom_limit(self, hog: Hog) -> Limit | None:
        """Return the limit whose OOM killer may have killed a hog or its child."""
        limit = self._reached(_cgroups(hog))
        return limit if limit and limit.rose[0] else None

    def _reached(
        self, cgroups: Sequence[str], tasks: bool = False, huge: bool = False
    ) -> Limit | None:
        return reached(self._root, cgroups, self._refused, tasks=tasks, huge=huge)


def _cgroups(hog: Hog) -> list[str]:
    return [hog.cgroup, hog.sharer] if hog.sharer else [hog.cgroup]


def _limit_text(limit: Limit | None) -> str:
    return f": {limit} is reached" if limit else ""
