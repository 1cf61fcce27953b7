"""Reads what a prediction needs: a target's tasks in scan order, its limits, its OOM groups."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import psutil

from oomctl.cgroup.node import UnifiedNode, members
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task, limit_pages, memcg_pages
from oomctl.proc import procfs


def read_candidates(
    node: UnifiedNode | None, root: UnifiedNode | None, known: Sequence[Task] | None = None
) -> Candidates:
    """Return the tasks that the kernel chooses from in a cgroup, or system-wide for None.

    `root` is the root of the hierarchy; without one there is no memory.oom.group. `known` are the
    tasks of the cgroup if they were read just before. Raises the errors of the cgroup files.
    """
    top = node or root
    nodes = list(top.walk()) if top else []
    groups, memcgs = _memcgs(nodes)
    if node is None:
        tasks = procfs.all_tasks()
        totalpages, swap = procfs.total_pages(), None
    else:
        found = procfs.read_tasks(members(nodes)) if known is None else known
        tasks = [replace(task, memcg=memcgs.get(task.cgroup, "")) for task in found]
        totalpages = target_pages(node)
        limit = limit_pages(_bytes(node.controller.memory_max), procfs.PAGE_SIZE)
        swap = max(totalpages - limit, 0)
    return Candidates(tasks, totalpages, procfs.PAGE_SIZE, groups, swap)


def _memcgs(nodes: Iterable[UnifiedNode]) -> tuple[set[str], dict[str, str]]:
    """Return the cgroups with memory.oom.group, and for each cgroup the one that it charges."""
    groups: set[str] = set()
    memcgs: dict[str, str] = {}
    for node in nodes:
        cgroup, group = node.cgroup, node.controller.memory_oom_group
        above = memcgs.get(cgroup.rpartition("/")[0] or "/", cgroup)
        memcgs[cgroup] = above if group is None else cgroup
        if group:
            groups.add(cgroup)
    return groups, memcgs


def target_pages(node: UnifiedNode, limit: float | None = None) -> int:
    """Return the `totalpages` of an OOM of a cgroup.

    `limit` is a value that memory.max is about to get.
    """
    files = node.controller
    maximum = _bytes(files.memory_max if limit is None else limit)
    swap_max = _bytes(files.memory_swap_max)
    swap = 0 if swap_max == 0 else usable_swap()
    return memcg_pages(maximum, swap_max, swap, procfs.PAGE_SIZE)


def usable_swap() -> int:
    """Return the bytes of swap that count in an OOM of a cgroup.

    Cgroup v2 has no swappiness of its own, so the sysctl decides whether swap counts.
    """
    return psutil.swap_memory().total if procfs.sysctl("vm.swappiness") else 0


def _bytes(limit: float | None) -> int | None:
    """Return a limit in bytes, None for `max`; without the file, as in the root, there is none."""
    return None if limit is None or math.isinf(limit) else int(limit)
