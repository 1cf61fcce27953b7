"""What the model expects of a case before it is run: each hog has the size that it is given. Pure.

The kernel's numbers differ by stacks, page tables and what CPUs hold, so this only tells which
rules a case is likely to exercise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oomctl.fuzz.case import in_order
from oomctl.fuzz.turns import groups_of, scan_key, written
from oomctl.oom.enums import Do
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Call, Hog, Plan
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task, memcg_pages

PAGE = 4096
_FIRST = 1000
_UNCOUNTED = ("slab", "pipe", "socket", "file", "hugetlb")
"""Kinds of hogs whose memory is no part of badness."""


def nominal_tasks(plan: Plan) -> list[Task]:
    """Return the tasks of all hogs that no action kills, in scan order.

    PIDs come in the order in which hogs are started, those that an action starts last.
    """
    tasks: list[Task] = []
    started = [action.hog for action in in_order(plan.actions) if action.do == Do.START]
    late = {name: number for number, name in enumerate(started)}
    killed = {action.hog for action in plan.actions if action.do == Do.KILL}
    moved = {action.hog: action.cgroup for action in plan.actions if action.do == Do.MOVE}
    for hog in sorted(plan.hogs, key=lambda hog: late.get(hog.name, -1)):
        if hog.name in killed:
            continue
        tasks += _tasks(hog, moved.get(hog.name, hog.cgroup), _FIRST + len(tasks))
    return sorted(tasks, key=lambda task: (scan_key(plan, task.cgroup), task.pid))


def _tasks(hog: Hog, home: str, pid: int) -> Iterator[Task]:
    size = PAGE if hog.kind in _UNCOUNTED else max(hog.size, PAGE)
    own = Task(pid, hog.label, home, hog.oom_score_adj, size, 0, PAGE, 1.0)
    own = replace(own, thread=pid if hog.leader_exits else 0)
    yield own
    if hog.sharer:
        yield replace(own, pid=pid + 1, cgroup=hog.sharer, shares=pid, parent=pid)
    for number in range(1, hog.tasks + 1 if hog.kind == "forker" else 0):
        yield replace(own, pid=pid + number, parent=pid)


def nominal(plan: Plan, call: Call, tasks: Sequence[Task]) -> Candidates:
    """Return the candidates of one call among the tasks that are left, by a plan at its step."""
    target = call.target or ""
    there = {hog.label for hog in plan.hogs}
    inside = [task for task in tasks if task.comm in there and is_within(task.cgroup, target)]
    limit = written(plan).get((target, "memory.max"), "max")
    return Candidates(
        inside,
        memcg_pages(None if limit == "max" else int(limit), 0, 0, PAGE),
        PAGE,
        groups_of(plan, target),
    )
