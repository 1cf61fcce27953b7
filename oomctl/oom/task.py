"""A task as the OOM killer sees it, and the kernel's badness of it. Pure."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

OOM_SCORE_ADJ_MIN = -1000
OOM_SCORE_ADJ_MAX = 1000


@dataclass(frozen=True)
class Task:
    """One process before the call: sizes in bytes, `started` in seconds since boot."""

    pid: int
    comm: str
    cgroup: str
    oom_score_adj: int
    rss: int
    swap: int
    pgtables: int
    started: float

    has_mm: bool = True
    """False for kernel threads and for dead tasks."""

    rss_read: int | None = None
    """RSS in bytes as read by a kernel that does not sum its per-CPU counters; None: as rss."""

    slack: int = 0
    """The bytes by which badness may still differ from these numbers."""

    parent: int = 0
    """The PID of its parent."""

    thread: int = 0
    """The TID that has the memory if the leader has ended; 0 is the leader itself."""
    other_threads: tuple[int, ...] = ()
    """The TIDs that have it too if the leader has ended: a second line of the log may name one."""

    shares: int = 0
    """The PID of its parent if both use the same memory (CLONE_VM), else 0."""

    memcg: str = ""
    """The cgroup that it is charged to, above its own if that has no memory controller."""

    not_eligible_reason: str = ""
    """Why it is not eligible, if the fields above do not tell, such as "kernel thread"."""

    @property
    def footprint(self) -> int:
        """The bytes that badness counts: rss + swap + page tables."""
        return self.rss + self.swap + self.pgtables

    def pages(self, page_size: int) -> int:
        """Return the footprint in pages, each part rounded down as the kernel counts it."""
        return self.rss // page_size + self.swap // page_size + self.pgtables // page_size

    @property
    def memory(self) -> int:
        """Name the memory that it uses by the PID of the process that made it."""
        return self.shares or self.pid

    @property
    def mortal(self) -> bool:
        """Whether memory.oom.group takes it too (mm/oom_kill.c, oom_kill_memcg_member)."""
        return self.has_mm and self.pid != 1 and self.oom_score_adj != OOM_SCORE_ADJ_MIN

    @property
    def excluded(self) -> str:
        """Why the OOM killer cannot choose it (mm/oom_kill.c, oom_badness), empty if it can."""
        if self.pid == 1:
            return "init"
        if self.not_eligible_reason:
            return self.not_eligible_reason
        if not self.has_mm:
            return "no mm"
        return "adj -1000" if self.oom_score_adj == OOM_SCORE_ADJ_MIN else ""

    @property
    def killable(self) -> bool:
        """Whether the OOM killer may choose it."""
        return not self.excluded


def processes(tasks: Iterable[Task]) -> dict[int, int]:
    """Return the PID of each thread that the log may name instead of a leader that has ended."""
    return {
        thread: task.pid
        for task in tasks
        for thread in (task.thread, *task.other_threads)
        if thread
    }


@dataclass(frozen=True)
class ProtectedTask:
    """A process that must not die with oomctl's victims: itself, or one that it runs in.

    `label` names it for a reader, such as "sshd (pid 7, which oomctl runs in)".
    """

    pid: int
    label: str
    cgroup: str


def badness(task: Task, totalpages: int, page_size: int) -> int:
    """Return the kernel's score in pages (mm/oom_kill.c, oom_badness).

    `totalpages` is RAM + swap for a system-wide OOM, the target's own limit for a memcg. The
    division comes first: a limit below 1000 pages gives oom_score_adj no weight at all.
    """
    return task.pages(page_size) + task.oom_score_adj * (totalpages // 1000)


def memcg_pages(limit: int | None, swap_max: int | None, swap: int, page_size: int) -> int:
    """Return the `totalpages` of a memcg OOM (mm/memcontrol.c, mem_cgroup_get_max()).

    Only the target's own limits count, in bytes, None for `max`. `swap` are the bytes of swap that
    count: of the machine, or 0 if vm.swappiness is 0.
    """
    pages = limit_pages(limit, page_size) + min(limit_pages(swap_max, page_size), swap // page_size)
    return max(pages, 1)


def limit_pages(limit: int | None, page_size: int) -> int:
    """Return a limit in pages; `max` is PAGE_COUNTER_MAX (include/linux/page_counter.h)."""
    return (sys.maxsize if limit is None else limit) // page_size


def rank(tasks: Iterable[Task], totalpages: int, page_size: int) -> list[tuple[int, Task]]:
    """Return (badness, task) of every killable task, highest badness first.

    Of equals the later one in scan order wins, so `tasks` must be in that order.
    """
    scored = [(badness(t, totalpages, page_size), t) for t in tasks if t.killable]
    scored.reverse()  # and the sort is stable
    scored.sort(key=lambda pair: -pair[0])
    return scored
