"""The one place that orders an experiment: tree, hogs, snapshot, calls, outcome."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psutil

from oomctl import interlock, talk
from oomctl.errors import UsageError
from oomctl.evidence import Kill
from oomctl.fate import Death, fate_of
from oomctl.kernel import procfs
from oomctl.kernel.btf import Kfunc
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.environment import protected, read_environment
from oomctl.kernel.hogs import Herd
from oomctl.kernel.interrupt import held_back, let_through
from oomctl.kernel.kmsg import Kmsg
from oomctl.kernel.loader import Loader
from oomctl.kernel.scope import Scope, Snapshot
from oomctl.kernel.tree import Tree
from oomctl.outcome import Declared, Fated, Outcome
from oomctl.plan import Plan
from oomctl.task import Task, rank
from oomctl.text import printable
from oomctl.verdict import judge, overall

Ranking = Sequence[tuple[int, Task]]


def run(plan: Plan, root: UnifiedNode, kfunc: Kfunc, confirm: Callable[[Ranking], None]) -> Outcome:
    """Carry out a plan and return its outcome; everything made is gone again afterwards.

    `confirm` is given the machine's ranking, the first to die first, before a system-wide
    declaration, and raises to stop it. Raises the errors of the stages it runs through.
    """
    with held_back(), ExitStack() as stack:
        stack.enter_context(protected())
        environment = read_environment(kfunc)
        interlock.check_sysctls(plan.call, environment.sysctls, environment.oom_score_adj)
        loader = stack.enter_context(Loader())
        log = stack.enter_context(Kmsg())
        stack.enter_context(Tree(root, plan))
        watch = stack.enter_context(DeathWatch())
        talk.progress(f"filling {len(plan.hogs)} hogs")
        herd = stack.enter_context(Herd(plan.hogs, root, watch, plan.timeout, plan.keep))

        scope = Scope(plan, root)
        before = scope.snapshot(herd.runners)
        _watch_strangers(before, watch)
        if plan.call.target is None:
            ranking = rank(before.machine, procfs.total_pages(), procfs.PAGE_SIZE)
            interlock.check_ranking(ranking, _own_family())
            with let_through():
                confirm(ranking)
        herd.require_alive()

        lost = log.read().lost
        declared: list[Declared] = []
        for _ in range(plan.repeat):
            one, missed = _declare(plan, scope, before, loader, log, watch)
            declared.append(one)
            lost += missed
        watch.note()
        return Outcome(
            environment=environment,
            declared=tuple(declared),
            tasks=tuple(_fates(before, declared, watch.deaths)),
            events=scope.changes(before.events),
            memory_before=before.memory,
            memory_after=scope.memory(),
            log_lost=lost,
            verdict=overall([one.verdict for one in declared]),
        )


def _declare(
    plan: Plan, scope: Scope, before: Snapshot, loader: Loader, log: Kmsg, watch: DeathWatch
) -> tuple[Declared, int]:
    """Declare once and wait until its victims have ended, so that the next meets none in flight."""
    dead = set(watch.deaths)
    events = scope.events()
    answer = loader.declare(plan.call, scope.target_id, watch, plan.timeout)
    said = log.read()
    kills = tuple(kill for kill in said.kills if scope.owns(kill, before))
    pids = {kill.pid for kill in kills}
    for pid in pids - watch.watched():
        watch.add(pid)
    if not watch.wait(lambda: pids <= watch.deaths.keys(), plan.timeout):
        talk.note(f"a victim has not ended within {plan.timeout:g} s of the call")
    died = [f"{k.comm} (pid {k.pid})" for k in kills if k.pid in watch.deaths.keys() - dead]
    groups = sum(delta.get("oom_group_kill", 0) for delta in scope.changes(events).values())
    verdict = judge(answer, died, groups, said.found_no_killable)
    return Declared(plan.call, scope.target_id, answer, kills, verdict), said.lost


def _watch_strangers(before: Snapshot, watch: DeathWatch) -> None:
    """Watch what lives in the target without being ours; oomctl itself must not be among it."""
    for task in before.tasks:
        if task.pid == os.getpid():
            raise UsageError(
                f"oomctl itself runs in {task.cgroup}, so the declaration could kill it",
                "start it from another cgroup",
            )
        if task.pid not in before.hogs:
            watch.add(task.pid)


def _own_family() -> set[int]:
    return {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}


def _fates(
    before: Snapshot, declared: Sequence[Declared], deaths: dict[int, Death]
) -> Iterator[Fated]:
    """Tell what became of every task of the target, and of victims elsewhere."""
    kills = {kill.pid: kill for one in declared for kill in one.kills}
    known = list(before.tasks)
    for kill in kills.values():
        if all(task.pid != kill.pid for task in known):
            known.append(before.find(kill.pid) or _unknown(kill))
    for task in known:
        death = deaths.get(task.pid)
        hog = before.hogs.get(task.pid)
        call = _call_before(death, declared) if death else None
        yield Fated(
            task=task,
            name=hog.name if hog else None,
            asked=hog.size if hog else None,
            charged=before.charged.get(task.pid, task.footprint),
            fate=fate_of(death, task.pid in kills),
            call=call,
            died_after_ns=death.at_ns - declared[call].answer.began_ns
            if death and call is not None
            else None,
        )


def _call_before(death: Death, declared: Sequence[Declared]) -> int | None:
    """Return the index of the last call that began before a death."""
    began = [i for i, one in enumerate(declared) if one.answer.began_ns <= death.at_ns]
    return began[-1] if began else None


def _unknown(kill: Kill) -> Task:
    """Stand in for a victim born after the snapshot: all there is, is the kernel's word."""
    return Task(kill.pid, kill.comm, printable(kill.memcg or "?"), 0, kill.rss, 0, 0, 0.0)
