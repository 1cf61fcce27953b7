"""What the kernel answered to one declaration. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from oomctl.oom.errnos import name_of


class Stage(IntEnum):
    """How far a declaration came; equal to `enum oomctl_stage` in bpf/declare.h."""

    NOT_RUN = 0
    NO_CGROUP = 1
    ROOT = 2
    NO_MEMCG = 3
    CALLED = 4


@dataclass(frozen=True)
class CallResult:
    """The kfunc's answer: times are CLOCK_MONOTONIC in ns, taken inside the kernel around the call.

    `ret` is None where the kfunc was not called or has not returned; of a trigger that writes a
    file it is 0 or the negative errno. `timed_out` says that the caller was killed because it did
    not come back in time.
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
    """It gave up, because what its target uses had fallen far enough without its doing."""
    reclaimed: int | None = None
    """The bytes that memory.reclaim gave back first (`reclaim`)."""
    failed: str = ""
    """Why there is no answer of the kernel's: what ended the caller, and how far it had come."""

    @property
    def duration_ns(self) -> int | None:
        """The time from the first try to the end; None if it did not come back."""
        return self.ended_ns - self.began_ns if self.ended_ns else None

    @property
    def errno_name(self) -> str | None:
        """The name behind a negative return value, such as "EINVAL"; None if it has none."""
        return None if self.ret is None else name_of(self.ret)
