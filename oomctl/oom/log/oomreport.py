"""What one OOM report of the kernel log states, as read from its records. Pure.

All is optional but what every report has: kernels differ, dumps are rate limited and truncated.
None, or an empty tuple or mapping, stands for what the log does not hold; strings are printable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from oomctl.oom.enums import Constraint


class OomEnd(StrEnum):
    """What the OOM killer did at the end of a report."""

    KILLED = "killed"
    EXITING = "exiting"
    """The chosen task was ending already: it was not sent a signal."""
    NO_TASK = "no-task"
    """No task was eligible."""
    PANIC = "panic"
    """The kernel panicked, because of vm.panic_on_oom or because no task was eligible."""
    UNKNOWN = "unknown"
    """The log does not hold the end."""


@dataclass(frozen=True, slots=True)
class DumpedTask:
    """A row of the task dump (mm/oom_kill.c, dump_task), as it is printed.

    `total_vm`, `rss`, its parts and `swapents` are in pages. `pgtables` is in bytes since
    af5b0f6a09e4 ("mm: consolidate page table accounting"), v4.15; before it is pages times the page
    size. `pid` is the thread that has the memory, `tgid` its process. The parts of rss are printed
    since v6.8.
    """

    pid: int
    tgid: int
    uid: int
    total_vm: int
    rss: int
    pgtables: int
    swapents: int
    oom_score_adj: int
    comm: str
    rss_anon: int | None = None
    rss_file: int | None = None
    rss_shmem: int | None = None


@dataclass(frozen=True)
class Victim:
    """A process that the report says was killed; sizes in bytes ("Killed process" and "oom-kill:").

    `pid` is the process if "oom-kill:" names it, `thread` what "Killed process" names, which is
    another one if the leader has ended. `cgroup` is task_memcg. `score` is what kernels up to 5.0
    print in "Kill process N (comm) score S or sacrifice child", badness in thousandths of
    totalpages, and `chosen_pid` the task that it names if one of its children was killed instead.
    """

    pid: int
    comm: str
    thread: int | None = None
    uid: int | None = None
    cgroup: str | None = None
    total_vm: int | None = None
    anon: int | None = None
    file: int | None = None
    shmem: int | None = None
    pgtables: int | None = None
    oom_score_adj: int | None = None
    score: int | None = None
    chosen_pid: int | None = None

    @property
    def rss(self) -> int | None:
        """Its resident memory in bytes, if any part of it is known."""
        parts = [size for size in (self.anon, self.file, self.shmem) if size is not None]
        return sum(parts) if parts else None


@dataclass(frozen=True)
class PageCounter:
    """A counter of the memcg at its limit, in bytes; `limit` is None for "max".

    `failcnt` counts the charges that hit the limit; of v2's swap it is the event swap.max.
    """

    usage: int
    limit: int | None
    failcnt: int


@dataclass(frozen=True)
class Machine:
    """The memory of the machine in a system-wide report ("Mem-Info:").

    `swap_total` and `swap_free` are in bytes; `present` too, by node. `pages` has what the machine
    uses its pages for, by the kernel's names, such as "active_anon".
    """

    ram_pages: int | None = None
    reserved_pages: int | None = None
    swap_total: int | None = None
    swap_free: int | None = None
    present: Mapping[int, int] = field(default_factory=dict)
    pages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class OomReport:
    """One run of the OOM killer as the kernel log tells it, from "invoked" to the last kill.

    `time_us` is in microseconds since boot if the log has it, `when` the time as the log prints it,
    `host` and `caller` what its prefix names. `memcg` is the path of the cgroup that was out of
    memory (oom_memcg), None for a system-wide OOM and if the log does not tell; `constraint` tells
    these two apart. `group` is the cgroup whose memory.oom.group was set; `members` died with the
    victim because of it. `counters` are of `memcg`, by "memory", "swap" (v2), "memory+swap" and
    "kmem" (v1). `stat` has its memory in bytes by kind, or counts of events, by the names of
    memory.stat, and `stat_of` the path it is printed for. `tasks` are the rows of the dump in scan
    order; `tasks_lost` says that rows are known to be missing. `order` is -1 for sysrq.
    `kernel` is the release.
    """

    end: OomEnd = OomEnd.UNKNOWN
    time_us: int | None = None
    when: str = ""
    host: str = ""
    caller: str = ""
    kernel: str | None = None
    invoker_comm: str | None = None
    invoker_pid: int | None = None
    invoker_adj: int | None = None
    gfp_mask: int | None = None
    gfp_flags: str | None = None
    order: int | None = None
    constraint: Constraint | None = None
    nodemask: str | None = None
    cpuset: str | None = None
    mems_allowed: str | None = None
    memcg: str | None = None
    group: str | None = None
    victim: Victim | None = None
    members: tuple[Victim, ...] = ()
    is_member: bool = False
    """The victim died with one that was chosen before it, whose report this is."""
    allocating: bool = False
    """Chosen for vm.oom_kill_allocating_task."""
    panic: str | None = None
    """The text of the panic."""
    counters: Mapping[str, PageCounter] = field(default_factory=dict)
    stat: Mapping[str, int] = field(default_factory=dict)
    stat_of: str | None = None
    machine: Machine | None = None
    tasks: tuple[DumpedTask, ...] = ()
    has_dump: bool = False
    """Whether the head of a task dump was printed."""
    tasks_lost: bool = False
    suppressed: int = 0
    """The reports that the rate limit left out before this one ("callbacks suppressed")."""

    @property
    def has_report(self) -> bool:
        """Whether there is more than the line of the kill itself."""
        is_named = self.victim is not None and self.victim.cgroup is not None
        return self.order is not None or is_named or bool(self.tasks or self.counters)

    @property
    def is_before_5_1(self) -> bool:
        """Whether the kernel is of the times when a child could be killed for its parent."""
        return bool(self.victim and self.victim.score is not None)

    def process_of(self, pid: int) -> int:
        """Return the process of a thread, if the dump tells it."""
        return next((row.tgid for row in self.tasks if row.pid == pid), pid)

    @property
    def is_v1(self) -> bool | None:
        """Whether the memcg is of cgroup v1; None if its counters do not tell."""
        if "memory+swap" in self.counters or "kmem" in self.counters:
            return True
        return False if "swap" in self.counters else None

    @property
    def page_size(self) -> int:
        """Bytes of a page, by the victim's sizes in kB and in pages; 4096 if they do not tell."""
        victim = self.victim
        rows = [row for row in self.tasks if victim and row.pid in (victim.pid, victim.thread)]
        if not rows or not victim or not victim.rss:
            return 4096
        sizes = (4096, 8192, 16384, 65536)
        return min(sizes, key=lambda size: abs(victim.rss - rows[0].rss * size))  # type: ignore[operator]
