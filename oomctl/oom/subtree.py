"""A cgroup subtree at one moment: its limits, its OOM groups, the memory of its tasks. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from oomctl.oom.paths import is_within
from oomctl.oom.prediction import Prediction, predict
from oomctl.oom.task import Task, memcg_pages

TOP = "/"
"""The path of the top of a subtree."""


@dataclass(frozen=True)
class CgroupState:
    """One cgroup, by its path below the top; sizes in bytes, None for `max`."""

    path: str
    max: int | None = None
    high: int | None = None
    low: int | None = 0
    min: int | None = 0
    swap_max: int | None = None
    oom_group: bool = False
    usage: int | None = None
    """Its memory.current; None if unknown, not `max`."""


@dataclass(frozen=True)
class MemberTask:
    """One process; its task's `cgroup` is a path below the top, its `rss` the sum of the parts.

    `threads` counts the leader too. `command` is its command line, empty unless asked for.
    """

    task: Task
    anon: int
    file: int = 0
    shmem: int = 0
    hugetlb: int = 0
    threads: int = 1
    pss: int | None = None
    """Proportional set size in bytes: what it shares is divided by the number of sharing tasks."""
    command: str = ""


@dataclass(frozen=True)
class Subtree:
    """A subtree; `cgroups` (the top first) and `tasks` are in the OOM killer's scan order.

    Paths are those below the top, which is "/". `swap` are the bytes of swap that its tasks could
    use. `gaps` are sentences on what is missing in it, or was assumed.
    """

    name: str
    cgroups: tuple[CgroupState, ...]
    tasks: tuple[MemberTask, ...]
    swap: int = 0
    page_size: int = 4096
    gaps: tuple[str, ...] = ()

    @property
    def top(self) -> CgroupState:
        """The cgroup that OOM is declared on."""
        return self.cgroups[0]

    @property
    def totalpages(self) -> int:
        """What the kernel scales oom_score_adj by (mm/memcontrol.c, mem_cgroup_get_max())."""
        return memcg_pages(self.top.max, self.top.swap_max, self.swap, self.page_size)

    @property
    def groups(self) -> frozenset[str]:
        """The cgroups with memory.oom.group."""
        return frozenset(each.path for each in self.cgroups if each.oom_group)

    @cached_property
    def sharers(self) -> dict[int, int]:
        """The PIDs of tasks that use the memory of another task of it (CLONE_VM), and its PID."""
        pids = {each.task.pid: each.task.shares for each in self.tasks}
        return {pid: shares for pid, shares in pids.items() if shares in pids}

    def below(self, path: str) -> Iterator[MemberTask]:
        """Yield the tasks in a cgroup and below it."""
        return (each for each in self.tasks if is_within(each.task.cgroup, path))

    def predict(self) -> Prediction:
        """Predict which tasks die if OOM is declared on the top."""
        tasks = [each.task for each in self.tasks]
        return predict(tasks, self.totalpages, self.page_size, self.groups)
