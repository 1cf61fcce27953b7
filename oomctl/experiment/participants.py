"""The tasks of a round, as far as they are known before anything is said of their end."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from oomctl.experiment.sources import History
from oomctl.experiment.target import Snapshot, TargetState
from oomctl.hog.hogset import RunningHog
from oomctl.oom.enums import FateKind, Role
from oomctl.oom.fate import Death, Fate
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, TaskReport
from oomctl.oom.task import Task


def kills_beside(
    history: History,
    declared: Sequence[CallReport],
    target_state: TargetState,
    before: Snapshot,
    deaths: Mapping[int, Death],
) -> list[OomKill]:
    """Return the kills of a round that no call made, of tasks that the plan is about."""
    of_calls = {kill.pid for one in declared for kill in one.kills}
    of_calls |= {one.result.caller for one in declared}
    known = {*before.hogs, *(task.pid for task in before.tasks)}
    threads = {task.thread: task.pid for task in before.tasks if task.thread}
    found = []
    for kill in history.kills():
        kill = replace(kill, pid=threads.get(kill.pid, kill.pid))
        if kill.pid in of_calls or kill.role == Role.EXITING:
            continue
        cgroup, memcg = (
            path or (number and target_state.path_of(number))
            for path, number in ((kill.cgroup, kill.cgroup_id), (kill.memcg, kill.memcg_id))
        )
        if kill.pid in known or target_state.holds(cgroup or None):
            found.append(replace(kill, cgroup=cgroup or None, memcg=memcg or None))
    return found + list(_unlogged(found, of_calls, before.tasks, deaths))


def _unlogged(
    found: Sequence[OomKill],
    of_calls: Collection[int],
    tasks: Sequence[Task],
    deaths: Mapping[int, Death],
) -> Iterator[OomKill]:
    """Yield who died because it shares a victim's memory, and of whom no source tells.

    The log has no line for those (mm/oom_kill.c, __oom_kill_process).
    """
    kills = {kill.pid: kill for kill in found}
    victims = {task.shares or task.pid: kills[task.pid] for task in tasks if task.pid in kills}
    for task in tasks:
        victim, death = victims.get(task.shares or task.pid), deaths.get(task.pid)
        if task.pid in kills or task.pid in of_calls:
            continue
        if victim and death and death.by_sigkill:
            yield replace(
                victim,
                pid=task.pid,
                comm=task.comm,
                role=Role.SHARER,
                rss=task.rss,
                cgroup=task.cgroup,
                oom_score_adj=task.oom_score_adj,
                exited_after_ns=None,
                traced=False,
                logged=False,
            )


def known(before: Snapshot, running_hogs: Sequence[RunningHog]) -> list[TaskReport]:
    """Return every task that was looked at, and every hog that was gone before that."""
    seen = {task.pid for task in before.tasks}
    found = [fated(task, before) for task in before.tasks]
    return found + [
        _gone(running_hog) for running_hog in running_hogs if running_hog.pid not in seen
    ]


def fated(task: Task, before: Snapshot) -> TaskReport:
    """Say what is known of a task beforehand; what only a hog itself has is not its children's."""
    running_hog = before.hog_of(task)
    itself = running_hog is not None and running_hog.pid == task.pid
    hog = running_hog.hog if running_hog else None
    failed = running_hog.failed if running_hog and itself else ""
    return TaskReport(
        task=task,
        name=hog.name if hog else None,
        asked=hog.size if hog and itself else None,
        charged=before.charged.get(task.pid, task.footprint),
        fate=Fate(FateKind.NOT_FILLED if failed else FateKind.SURVIVED),
        entry=(hog.entry or hog.name) if hog else None,
        kind=hog.kind if hog else None,
        filled=running_hog.filled if running_hog and itself else None,
        failed=failed,
        holds=running_hog.holds if running_hog and itself else None,
    )


def _gone(running_hog: RunningHog) -> TaskReport:
    """Stand for a hog that was gone before there was anything to be seen of it."""
    hog = running_hog.hog
    return TaskReport(
        task=Task(running_hog.pid, hog.label, hog.cgroup, hog.oom_score_adj, 0, 0, 0, 0.0),
        name=hog.name,
        asked=hog.size,
        charged=0,
        fate=Fate(FateKind.NOT_FILLED if running_hog.failed else FateKind.SURVIVED),
        entry=hog.entry or hog.name,
        kind=hog.kind,
        filled=running_hog.filled,
        failed=running_hog.failed,
    )
