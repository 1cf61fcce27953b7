"""Reads what a prediction needs: the tasks of a target in scan order, its limits, its groups."""

import math
import sys

import psutil

from oomctl.kernel import procfs
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.prediction import Lineup

PAGE_COUNTER_MAX = sys.maxsize // procfs.PAGE_SIZE
"""What memory.max `max` is, in pages, on 64 bits (include/linux/page_counter.h)."""


def line_up(node: UnifiedNode | None, root: UnifiedNode | None) -> Lineup:
    """Return whom the kernel chooses from in a cgroup, or on the whole machine for None.

    `root` is the hierarchy's, None without one: then there is no memory.oom.group. Raises the
    errors of the cgroup files.
    """
    if node is None:
        tasks = procfs.all_tasks()
        totalpages = procfs.total_pages()
    else:
        tasks = procfs.read_tasks(node.members())
        totalpages = target_pages(node)
    top = node or root
    groups = {n.cgroup for n in top.subtree() if n.controller.memory_oom_group} if top else set()
    return Lineup(tasks, totalpages, procfs.PAGE_SIZE, groups)


def target_pages(node: UnifiedNode) -> int:
    """Return the `totalpages` of a memcg OOM (mm/memcontrol.c, mem_cgroup_get_max).

    Only the target's own limits count. Cgroup v2 has no swappiness of its own, so the sysctl
    decides whether swap does.
    """
    pages = _pages(node.controller.memory_max)
    if procfs.sysctl("vm.swappiness"):
        swap = psutil.swap_memory().total // procfs.PAGE_SIZE
        pages += min(_pages(node.controller.memory_swap_max), swap)
    return max(pages, 1)


def _pages(limit: float | None) -> int:
    """Return a limit in pages; no file is no limit, as the root has none."""
    if limit is None or math.isinf(limit):
        return PAGE_COUNTER_MAX
    return int(limit) // procfs.PAGE_SIZE
