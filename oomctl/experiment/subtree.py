"""Reads a subtree of the machine: its cgroups' limits and its tasks."""

from collections import Counter
from collections.abc import Iterator

from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.candidates import usable_swap
from oomctl.oom.subtree import TOP, CgroupState, MemberTask, Subtree
from oomctl.proc.member import read_member
from oomctl.proc.procfs import PAGE_SIZE
from oomctl.text import counted, printable

_MOST_NAMED = 4


def read_subtree(node: UnifiedNode, *, rollup: bool = True, commands: bool = False) -> Subtree:
    """Return a cgroup and all that is below it now; what vanishes meanwhile is counted in `gaps`.

    Without `rollup` a task costs the reading of a few small files; with it, a walk over all of its
    memory. `commands` are the tasks' command lines. Raises the errors of the cgroup files.
    """
    cgroups: list[CgroupState] = []
    members: dict[int, str] = {}
    foreign = 0
    for each in node.walk():
        path = each.cgroup[len(node.cgroup) :] or TOP
        cgroups.append(_state(each, path))
        for pid in each.controller.procs or ():
            foreign += not pid
            if pid:
                members.setdefault(pid, path)
    left_out: Counter[str] = Counter()
    tasks: list[MemberTask] = []
    threads = []
    for pid, path in members.items():
        member = read_member(pid, path, rollup=rollup, command=commands)
        if member is None:
            left_out["ended meanwhile"] += 1
        elif member.task.not_eligible_reason == "kernel thread":
            threads.append(member.task.comm)
        elif not member.task.has_mm:
            left_out["dead already"] += 1
        elif member.task.not_eligible_reason:
            left_out[member.task.not_eligible_reason] += 1
        else:
            tasks.append(member)
    return Subtree(
        name=node.cgroup.rpartition("/")[2],
        cgroups=tuple(cgroups),
        tasks=tuple(tasks),
        swap=usable_swap(),
        page_size=PAGE_SIZE,
        gaps=tuple(_gaps(left_out, foreign, threads)),
    )


def _gaps(left_out: Counter[str], foreign: int, threads: list[str]) -> Iterator[str]:
    if foreign:
        left_out["outside of this PID namespace"] = foreign
    for why, count in left_out.items():
        yield f"left out: {counted(count, 'process', 'processes')} ({why})"
    if threads:
        named = ", ".join(map(printable, threads[:_MOST_NAMED]))
        more = len(threads) - _MOST_NAMED
        yield f"left out: the kernel threads {named}{f' and {more} more' if more > 0 else ''}"


def _state(node: UnifiedNode, path: str) -> CgroupState:
    def limit(name: str, missing: int | None) -> int | None:
        text = node.controller.get_property(name.encode())
        if text is None:  # without the memory controller, or gone meanwhile
            return missing
        return None if text == "max" else int(text)

    return CgroupState(
        path,
        max=limit("memory.max", None),
        high=limit("memory.high", None),
        low=limit("memory.low", 0),
        min=limit("memory.min", 0),
        swap_max=limit("memory.swap.max", None),
        oom_group=bool(node.controller.memory_oom_group),
        usage=node.controller.memory_current,
    )
