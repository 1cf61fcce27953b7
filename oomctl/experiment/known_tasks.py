"""The known tasks of a round, before their fate is told, and kills that no call made."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from oomctl.experiment.history import History
from oomctl.experiment.target import Snapshot, TargetState
from oomctl.hog.hogset import RunningHog
from oomctl.oom.enums import FateKind, Role
from oomctl.oom.fate import Death, Fate
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, TaskReport
from oomctl.oom.task import Task, processes


def kills_beside(
    history: History,
    calls: Sequence[CallReport],
    target_state: TargetState,
    before: Snapshot,
    deaths: Mapping[int, Death],
) -> list[OomKill]:
    """Return the kills in a round that no call made, of tasks that the plan is about."""
    of_calls = {kill.pid for call in calls for kill in call.kills}
    of_calls |= {call.result.caller for call in calls}
    known = {*before.hogs, *(task.pid for task in before.tasks)}
    threads = processes(before.tasks)
    found = []
    for kill in history.kills():
        if kill.pid in threads:
            kill = replace(kill, pid=threads[kill.pid])
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
    """Yield kills that no source has: of tasks that share a victim's memory.

    The log has no line for those (mm/oom_kill.c, __oom_kill_process()).
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


def known_tasks(before: Snapshot, running_hogs: Sequence[RunningHog]) -> list[TaskReport]:
    """Return a report of every task in the snapshot and of every hog that had ended before it."""
    pids = {task.pid for task in before.tasks}
    reports = [report_of(task, before) for task in before.tasks]
    for running_hog in running_hogs:
        if running_hog.pid not in pids:
            hog = running_hog.hog
            task = Task(running_hog.pid, hog.label, hog.cgroup, hog.oom_score_adj, 0, 0, 0, 0.0)
            reports.append(_report(task, running_hog, 0))
    return reports


def report_of(task: Task, before: Snapshot) -> TaskReport:
    """Return the report of a task as far as it is known before the calls."""
    return _report(task, before.hog_of(task), before.charged.get(task.pid, task.footprint))


def _report(task: Task, running_hog: RunningHog | None, charged: int) -> TaskReport:
    """Make a report; a hog's child has the hog's name, entry and kind, but not its memory."""
    if running_hog is None:
        return TaskReport(task, None, None, charged, Fate(FateKind.SURVIVED))
    hog = running_hog.hog
    report = TaskReport(
        task=task,
        name=hog.name,
        size=None,
        charged=charged,
        fate=Fate(FateKind.SURVIVED),
        entry=hog.entry or hog.name,
        kind=hog.kind,
    )
    if running_hog.pid != task.pid:
        return report
    return replace(
        report,
        size=hog.size,
        fate=Fate(FateKind.NOT_FILLED) if running_hog.failed else report.fate,
        filled=running_hog.filled,
        failed=running_hog.failed,
        holds=running_hog.holds,
    )
