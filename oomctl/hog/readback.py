"""Reads what a hog actually holds: from its cgroup if it is alone there, else from its tasks."""

import os
from collections.abc import Iterable, Mapping, Set

import psutil

from oomctl.cgroup.files import counters
from oomctl.cgroup.node import UnifiedNode
from oomctl.oom.holdings import Holdings, compared, of_cgroup, of_tasks
from oomctl.oom.plan import Hog
from oomctl.proc import procfs

_BATCH = 64
"""Pages by which a CPU's counters may lag behind (mm/memcontrol.c, MEMCG_CHARGE_BATCH)."""


def read_holdings(hog: Hog, pid: int, node: UnifiedNode, members: Set[int]) -> Holdings | None:
    """Return what a hog in the cgroup `node` holds; None if it has ended.

    `members` are the PIDs in that cgroup.
    """
    try:
        children = procfs.children(pid) if len(members) > 1 else []
        tasks = [procfs.memory_holder(pid) if hog.leader_exits else pid]
        if hog.kind == "forker":
            tasks += children
        status = [procfs.sizes(each) for each in tasks]
        # a cgroup of many hogs is not gone through for each of them
        alone = len(members) <= len(children) + 1 and members <= {pid, *children}
        stat = _stat(node) if alone else None
        if stat is not None:
            slack = os.sysconf("SC_NPROCESSORS_ONLN") * _BATCH * procfs.PAGE_SIZE
            return compared(of_cgroup(stat, of_tasks(status, None), slack), hog)
        return compared(of_tasks(status, _huge(tasks) if hog.thp else None), hog)
    except (OSError, psutil.NoSuchProcess):
        return None


def _huge(tasks: Iterable[int]) -> int:
    return sum(procfs.sizes(each, "smaps_rollup").get("AnonHugePages", 0) for each in tasks)


def _stat(node: UnifiedNode) -> Mapping[str, int] | None:
    text = node.controller.get_property(b"memory.stat")
    return None if text is None else counters(text)
