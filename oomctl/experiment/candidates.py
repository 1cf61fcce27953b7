"""Reads what a prediction needs: a target's tasks in scan order, its limits, its OOM groups."""

import math
from dataclasses import replace

import psutil

from oomctl.cgroup.node import UnifiedNode
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import limit_pages, memcg_pages
from oomctl.proc import procfs


def read_candidates(node: UnifiedNode | None, root: UnifiedNode | None) -> Candidates:
    """Return the tasks that the kernel chooses from in a cgroup, or system-wide for None.

    `root` is the root of the hierarchy; without one there is no memory.oom.group. Raises the errors
    of the cgroup files.
    """
    groups, memcgs = _memcgs(node or root)
    if node is None:
        tasks = procfs.all_tasks()
        totalpages, swap = procfs.total_pages(), None
    else:
        found = procfs.read_tasks(node.members())
        tasks = [replace(task, memcg=memcgs.get(task.cgroup, "")) for task in found]
        totalpages = target_pages(node)
        limit = limit_pages(_bytes(node.controller.memory_max), procfs.PAGE_SIZE)
        swap = max(totalpages - limit, 0)
    return Candidates(tasks, totalpages, procfs.PAGE_SIZE, groups, swap)


def _memcgs(top: UnifiedNode | None) -> tuple[set[str], dict[str, str]]:
    """Return the cgroups with memory.oom.group, and for each cgroup the one that it charges."""
    groups: set[str] = set()
    memcgs: dict[str, str] = {}
    for node in top.walk() if top else ():
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
    return memcg_pages(maximum, _bytes(files.memory_swap_max), usable_swap(), procfs.PAGE_SIZE)


def usable_swap() -> int:
    """Return the bytes of swap that count in an OOM of a cgroup.

    Cgroup v2 has no swappiness of its own, so the sysctl decides whether swap counts.
    """
    return psutil.swap_memory().total if procfs.sysctl("vm.swappiness") else 0


def _bytes(limit: float | None) -> int | None:
    """Return a limit in bytes, None for `max`; without the file, as in the root, there is none."""
    return None if limit is None or math.isinf(limit) else int(limit)
