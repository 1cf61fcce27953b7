"""The tasks of a round, as far as they are known before anything is said of their end."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from oomctl.experiment.sources import History
from oomctl.experiment.target import Scope, Snapshot
from oomctl.hog.hogset import Runner
from oomctl.oom.fate import Death, Fate
from oomctl.oom.kill import Sighting
from oomctl.oom.outcome import Declared, Fated
from oomctl.oom.task import Task


def kills_beside(
    history: History,
    declared: Sequence[Declared],
    scope: Scope,
    before: Snapshot,
    deaths: Mapping[int, Death],
) -> list[Sighting]:
    """Return the kills of a round that no call made, of tasks that the plan is about."""
    of_calls = {kill.pid for one in declared for kill in one.kills}
    of_calls |= {one.answer.caller for one in declared}
    known = {*before.hogs, *(task.pid for task in before.tasks)}
    threads = {task.thread: task.pid for task in before.tasks if task.thread}
    found = []
    for kill in history.kills():
        kill = replace(kill, pid=threads.get(kill.pid, kill.pid))
        if kill.pid in of_calls or kill.role == "exiting":
            continue
        cgroup, memcg = (
            path or (number and scope.path_of(number))
            for path, number in ((kill.cgroup, kill.cgroup_id), (kill.memcg, kill.memcg_id))
        )
        if kill.pid in known or scope.holds(cgroup or None):
            found.append(replace(kill, cgroup=cgroup or None, memcg=memcg or None))
    return found + list(_unlogged(found, of_calls, before.tasks, deaths))


def _unlogged(
    found: Sequence[Sighting],
    of_calls: Collection[int],
    tasks: Sequence[Task],
    deaths: Mapping[int, Death],
) -> Iterator[Sighting]:
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
                role="sharer",
                rss=task.rss,
                cgroup=task.cgroup,
                oom_score_adj=task.oom_score_adj,
                exited_after_ns=None,
                traced=False,
                logged=False,
            )


def known(before: Snapshot, runners: Sequence[Runner]) -> list[Fated]:
    """Return every task that was looked at, and every hog that was gone before that."""
    seen = {task.pid for task in before.tasks}
    found = [fated(task, before) for task in before.tasks]
    return found + [_gone(runner) for runner in runners if runner.pid not in seen]


def fated(task: Task, before: Snapshot) -> Fated:
    """Say what is known of a task beforehand; what only a hog itself has is not its children's."""
    runner = before.hog_of(task)
    itself = runner is not None and runner.pid == task.pid
    hog = runner.hog if runner else None
    failed = runner.failed if runner and itself else ""
    return Fated(
        task=task,
        name=hog.name if hog else None,
        asked=hog.size if hog and itself else None,
        charged=before.charged.get(task.pid, task.footprint),
        fate=Fate("not-filled" if failed else "survived"),
        family=(hog.family or hog.name) if hog else None,
        kind=hog.kind if hog else None,
        filled=runner.filled if runner and itself else None,
        failed=failed,
        holds=runner.holds if runner and itself else None,
    )


def _gone(runner: Runner) -> Fated:
    """Stand for a hog that was gone before there was anything to be seen of it."""
    hog = runner.hog
    return Fated(
        task=Task(runner.pid, hog.label, hog.cgroup, hog.oom_score_adj, 0, 0, 0, 0.0),
        name=hog.name,
        asked=hog.size,
        charged=0,
        fate=Fate("not-filled" if runner.failed else "survived"),
        family=hog.family or hog.name,
        kind=hog.kind,
        filled=runner.filled,
        failed=runner.failed,
    )
