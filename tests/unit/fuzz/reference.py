"""The OOM killer's choice, from the kernel's source and not from oomctl's model.

It is what the model is held against where there is no kernel: mm/oom_kill.c, oom_badness(),
oom_evaluate_task(), oom_kill_process(); mm/memcontrol.c, mem_cgroup_get_oom_group().
"""

from dataclasses import dataclass

PAGE = 4096
LONG_MAX = 2**63 - 1
MIN = -1000


@dataclass(frozen=True)
class Choice:
    """The chosen task, all that are killed with it, those that share a memory, and the group."""

    chosen: object = None
    killed: tuple = ()
    sharers: tuple = ()
    group: str | None = None


def choose(plan, call, tasks):
    """Return what one call on a plan's tree kills; `tasks` are in scan order."""
    if not (0 <= call.order <= 10 and call.flags in (0, 1)):
        return Choice()
    inside = [task for task in tasks if below(task.cgroup, call.target)]
    points = total_pages(plan, call.target) // 1000
    chosen, most = None, 0
    for task in inside:
        if task.pid == 1 or task.oom_score_adj == MIN:
            continue
        score = task.rss // PAGE + task.swap // PAGE + task.pgtables // PAGE
        score += task.oom_score_adj * points
        if chosen is None or score >= most:
            chosen, most = task, score
    if chosen is None:
        return Choice()
    group = oom_group(plan, call.target, chosen.cgroup)
    members = [t for t in inside if group and below(t.cgroup, group) and t.oom_score_adj != MIN]
    killed = [chosen, *(task for task in members if task is not chosen)]
    mms = {mm(task) for task in killed}
    sharers = [task for task in tasks if mm(task) in mms and task not in killed]
    return Choice(chosen, tuple(killed), tuple(sharers), group)


def total_pages(plan, target):
    """Return mem_cgroup_get_max(), on a machine without swap."""
    limit = written(plan, target, "memory.max", "max")
    return max((LONG_MAX if limit == "max" else int(limit)) // PAGE, 1)


def oom_group(plan, target, cgroup):
    """Return the highest cgroup with memory.oom.group from the victim's up to the target."""
    found = None
    while True:
        if written(plan, cgroup, "memory.oom.group", "0") == "1":
            found = cgroup
        if cgroup == target:
            return found
        cgroup = cgroup.rpartition("/")[0]


def written(plan, cgroup, file, default):
    values = [s.value for s in plan.settings if (s.cgroup, s.file) == (cgroup, file)]
    return values[-1] if values else default


def below(cgroup, top):
    return f"{cgroup}/".startswith(f"{top}/")


def mm(task):
    return task.shares or task.pid
