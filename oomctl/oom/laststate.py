"""The last state of a subtree before a kill, as a flight recorder has kept it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within
from oomctl.oom.subtree import TOP, MemberTask, Subtree
from oomctl.oom.task import Task


@dataclass(frozen=True)
class State:
    """The subtree below the cgroup `top` at a moment in ns of CLOCK_MONOTONIC."""

    at_ns: int
    top: str
    subtree: Subtree


def last_state(states: Iterable[State], kill: OomKill) -> Subtree | None:
    """Return the last state before a kill, with its victim as the kernel has counted it.

    It begins at the cgroup that was out of memory, if that is in it. `states` are in order of time.
    None if there is no state of the victim's cgroup from before the kill.
    """
    usable = [
        state
        for state in states
        if state.at_ns < kill.at_ns and kill.cgroup and is_within(kill.cgroup, state.top)
    ]
    if not usable:
        return None
    state = usable[-1]
    age = (kill.at_ns - state.at_ns) // 1_000_000
    subtree = _victim_added(state.subtree, _below(kill.cgroup or TOP, state.top), kill)
    subtree = replace(subtree, gaps=(f"sampled {age} ms before the kill", *subtree.gaps))
    if kill.memcg is None:
        return _noted(subtree, "no cgroup was out of memory, as far as is known")
    if not is_within(kill.memcg, state.top):
        return _noted(subtree, f"{kill.memcg}, above it, was out of memory")
    return _cut(subtree, _below(kill.memcg, state.top))


def _below(path: str, top: str) -> str:
    """Return a path as it is below `top`."""
    return path.removeprefix(top.rstrip("/")) or TOP


def _noted(subtree: Subtree, gap: str) -> Subtree:
    return replace(subtree, gaps=(*subtree.gaps, gap))


def _victim_added(subtree: Subtree, cgroup: str, kill: OomKill) -> Subtree:
    """Give the victim the size and the oom_score_adj that it had when it was killed."""
    found = next((each for each in subtree.tasks if each.task.pid == kill.pid), None)
    if found is None:
        task = Task(kill.pid, kill.comm, cgroup, kill.oom_score_adj, kill.rss, 0, 0, 0.0)
        new = MemberTask(task, anon=kill.rss)
        subtree = _noted(subtree, f"{kill.comm} began after the sample; all its memory is anon")
        return replace(subtree, tasks=(*subtree.tasks, new))
    anon = max(kill.rss - found.file - found.shmem, 0)
    rss = anon + found.file + found.shmem
    task = replace(found.task, rss=rss, rss_read=None, oom_score_adj=kill.oom_score_adj)
    grown = replace(found, task=task, anon=anon)
    return replace(subtree, tasks=tuple(grown if each is found else each for each in subtree.tasks))


def _cut(subtree: Subtree, path: str) -> Subtree:
    """Leave only a cgroup and what is below it."""
    inside = [each for each in subtree.cgroups if is_within(each.path, path)]
    if path == TOP or not inside or inside[0].path != path:
        return subtree
    return replace(
        subtree,
        name=path.rpartition("/")[2],
        cgroups=tuple(replace(each, path=_below(each.path, path)) for each in inside),
        tasks=tuple(
            replace(each, task=replace(each.task, cgroup=_below(each.task.cgroup, path)))
            for each in subtree.below(path)
        ),
    )
