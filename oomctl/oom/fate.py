"""How one task ended, by its wait status and the kernel's reports. Pure."""

import signal
from dataclasses import dataclass

from oomctl.oom.enums import FateKind


@dataclass(frozen=True)
class Death:
    """The end of one process: `at_ns` is CLOCK_MONOTONIC when it was noticed.

    `status` is the exit status, `signal` the signal that ended it; both None if the
    process is not our child: only a parent can read the wait status.
    """

    pid: int
    at_ns: int
    status: int | None = None
    signal: int | None = None

    @property
    def by_sigkill(self) -> bool:
        """Whether SIGKILL ended it, or may have: the signal is unknown if it is not our child."""
        return self.signal == signal.SIGKILL or (self.signal is None and self.status is None)

    @property
    def how(self) -> str:
        """The end of a child in words: by a signal, or with a status."""
        if self.signal is not None:
            return f"was killed by {signal_name(self.signal)}"
        return f"ended with status {self.status}"


@dataclass(frozen=True)
class Fate:
    """The end of a task, or that there was none."""

    kind: FateKind
    status: int | None = None
    signal: int | None = None

    @property
    def signal_name(self) -> str | None:
        """The signal's name, such as "SIGKILL"."""
        return None if self.signal is None else signal_name(self.signal)

    def __str__(self) -> str:
        match self.kind:
            case FateKind.EXITED:
                return f"exited {self.status}"
            case FateKind.KILLED:
                return f"killed {self.signal_name} by another process"
            case FateKind.ENDED_WITH_HOG:
                return "ended with its hog"
            case FateKind.GONE:
                return "gone, not by the OOM killer"
            case FateKind.STEP_KILLED:
                return "killed by a step"
            case kind:
                return kind


def signal_name(number: int) -> str:
    """Return the name of a signal, such as "SIGKILL"."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a realtime signal
        return f"SIG{number}"


def fate_of(death: Death | None, oom_killed: bool, cgroup_killed: bool = False) -> Fate:
    """Judge one task.

    `oom_killed` says that the kernel reported this PID as killed by the OOM killer, `cgroup_killed`
    that oomctl wrote cgroup.kill. SIGKILL alone does not tell them apart. A victim that has not
    ended is `dying`. The wait status of a task that is not our child is unknown.
    """
    if death is None:
        return Fate(FateKind.DYING if oom_killed else FateKind.SURVIVED)
    unknown = death.signal is None and death.status is None
    if oom_killed and (unknown or death.signal == signal.SIGKILL):
        return Fate(FateKind.OOM_KILLED, signal=signal.SIGKILL)
    if cgroup_killed and (unknown or death.signal == signal.SIGKILL):
        return Fate(FateKind.CGROUP_KILLED, signal=signal.SIGKILL)
    if death.signal is not None:
        return Fate(FateKind.KILLED, signal=death.signal)
    if death.status is not None:
        return Fate(FateKind.EXITED, status=death.status)
    return Fate(FateKind.GONE)
