"""Samples a subtree again and again: in full, or only what changes quickly and is cheap to read."""

import os
from dataclasses import replace

from oomctl.cgroup.node import UnifiedNode
from oomctl.oom.subtree import TOP, MemberTask, Subtree
from oomctl.proc.member import read_member
from oomctl.proc.procfs import PAGE_SIZE


def sample_again(node: UnifiedNode, last: Subtree) -> Subtree | None:
    """Return a subtree with the tasks, their memory and usage of now, and the rest as it was.

    Of a known task it reads only statm and oom_score_adj. None if the cgroups are not the same:
    then all must be read.
    """
    known = {each.task.pid: each for each in last.tasks}
    cgroups, tasks, seen = [], [], set()
    settings = iter(last.cgroups)
    for each in node.walk():
        path = each.cgroup[len(node.cgroup) :] or TOP
        setting = next(settings, None)
        if setting is None or setting.path != path:
            return None
        cgroups.append(replace(setting, usage=each.controller.memory_current))
        for pid in each.controller.procs or ():
            if pid in seen or not pid:
                continue
            seen.add(pid)
            member = _now(known[pid], path) if pid in known else _new(pid, path)
            if member:
                tasks.append(member)
    if next(settings, None):
        return None
    return replace(last, cgroups=tuple(cgroups), tasks=tuple(tasks))


def _new(pid: int, path: str) -> MemberTask | None:
    member = read_member(pid, path, rollup=False)
    if member is None or not member.task.has_mm or member.task.not_eligible_reason:
        return None
    return member


def _now(member: MemberTask, path: str) -> MemberTask | None:
    """Return a known task with its memory of now; the same object if that has not changed."""
    try:
        words = _read(f"/proc/{member.task.pid}/statm").split()
        adj = int(_read(f"/proc/{member.task.pid}/oom_score_adj"))
    except OSError:
        return None
    # fs/proc/task_mmu.c, task_statm(): shared is file + shmem
    rss, shared = int(words[1]) * PAGE_SIZE, int(words[2]) * PAGE_SIZE
    task = member.task
    if (rss, adj, path) == (task.rss, task.oom_score_adj, task.cgroup):
        return member
    shmem = min(member.shmem, shared)
    read = None if task.rss_read is None else rss
    task = replace(task, rss=rss, rss_read=read, oom_score_adj=adj, cgroup=path)
    return replace(member, task=task, anon=rss - shared, file=shared - shmem, shmem=shmem)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 128)
    finally:
        os.close(fd)
