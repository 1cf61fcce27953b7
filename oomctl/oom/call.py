"""The result of one call. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from oomctl.oom.errnos import name_of


class Stage(IntEnum):
    """How far the BPF program got; equal to `enum oomctl_stage` in bpf/declare.h."""

    NOT_RUN = 0
    NO_CGROUP = 1
    ROOT = 2
    NO_MEMCG = 3
    CALLED = 4
    NOT_SCHEDULED = 5


@dataclass(frozen=True)
class CallResult:
    """What a call returned; times are CLOCK_MONOTONIC in ns, taken in the kernel around it.

    `ret` is None if the kfunc was not called or did not return; for a trigger that writes a file it
    is 0 or the negative errno. `timed_out` says that oomctl killed the caller because it did not
    return in time.
    """

    stage: Stage
    began_ns: int
    ended_ns: int
    ret: int | None
    timed_out: bool = False
    caller: int = 0
    """The PID of the process that made the call."""
    attempts: int = 1
    """How often the kfunc was entered: a caller that rechecks tries again after each -EBUSY."""
    spared: bool = False
    """The caller gave up, because the usage of its target had fallen far enough by itself."""
    reclaimed: int | None = None
    """The bytes that memory.reclaim gave back first (`reclaim`)."""
    failed: str = ""
    """Why the kernel returned nothing: what ended the caller, and how far it had got."""

    @property
    def duration_ns(self) -> int | None:
        """The time from the first try to the return; None if it did not return."""
        return self.ended_ns - self.began_ns if self.ended_ns else None

    @property
    def errno_name(self) -> str | None:
        """The name behind a negative return value, such as "EINVAL"; None if it has none."""
        return None if self.ret is None else name_of(self.ret)
