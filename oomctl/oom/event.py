"""Events of the observer, on one clock. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from oomctl.oom.memcg import MemcgUsage


class EventKind(IntEnum):
    """What happened; equal to `enum oomctl_event_kind` in bpf/observer.h."""

    OOM_BEGIN = 1
    """out_of_memory() was entered, so oom_lock is held; `pid` is the task that runs it."""
    OOM_END = 2
    """out_of_memory() is about to return."""
    SIGKILL = 3
    """The OOM killer sent SIGKILL to `pid`: a victim, or a task that shares its memory."""
    MARK_VICTIM = 4
    WAKE_REAPER = 5
    START_REAPING = 6
    FINISH_REAPING = 7
    SKIP_REAPING = 8
    EXIT = 9
    """The last thread of `tgid` has given up its memory and ends by `signal`, or with `status`."""


@dataclass(frozen=True)
class Event:
    """One event: `at_ns` is CLOCK_MONOTONIC, sizes are bytes, `cgroup_id` is that of `pid`.

    `invoker_pid` and `invoker_comm` are the task that ran the OOM killer (for OOM_BEGIN, OOM_END,
    SIGKILL, MARK_VICTIM). `order`, `memcg_id` (None: system-wide) and `constraint` belong to
    OOM_BEGIN and OOM_END, `signal` and `status` to EXIT; None for other kinds. `cgroup` and `memcg`
    are the paths of `cgroup_id` and `memcg_id`, None if the observer does not know them; `usage` is
    what `memcg_id` held. A `memcg_id` of cgroup v1 has the flag V1_ID.
    """

    kind: EventKind
    at_ns: int
    pid: int
    tgid: int
    comm: str
    cgroup_id: int
    anon: int = 0
    file: int = 0
    shmem: int = 0
    oom_score_adj: int = 0
    invoker_pid: int = 0
    invoker_comm: str = ""
    order: int | None = None
    memcg_id: int | None = None
    constraint: str | None = None
    signal: int | None = None
    status: int | None = None
    cgroup: str | None = None
    memcg: str | None = None
    usage: MemcgUsage | None = None

    @property
    def rss(self) -> int:
        """The resident memory in bytes: anonymous, file and shared."""
        return self.anon + self.file + self.shmem
