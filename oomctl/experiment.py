"""The one place that orders an experiment: tree, hogs, snapshot, calls, outcome."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import psutil

from oomctl import interlock, talk
from oomctl.account import Aftermath, Asked, account, killed_by
from oomctl.errors import UsageError
from oomctl.event import Event, Kind
from oomctl.evidence import Kill
from oomctl.fate import Death, fate_of
from oomctl.kernel import procfs
from oomctl.kernel.btf import Kfunc
from oomctl.kernel.candidates import predict_target
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.environment import protected, read_environment
from oomctl.kernel.hogs import Herd
from oomctl.kernel.interrupt import held_back, let_through
from oomctl.kernel.loader import Loader
from oomctl.kernel.sampler import Sampler
from oomctl.kernel.scope import Scope, Snapshot
from oomctl.kernel.tree import Tree
from oomctl.kernel.witness import Heard, Witness
from oomctl.outcome import Declared, Fated, Outcome
from oomctl.plan import Plan
from oomctl.task import Task, rank
from oomctl.text import printable
from oomctl.timeline import Stamp
from oomctl.verdict import overall

_AFTERGLOW = 0.02
"""Seconds of samples after the last death, so that a drawing shows where the memory went."""

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
        witness = stack.enter_context(Witness())
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

        sampler = stack.enter_context(Sampler(scope.counted()))
        trial = _Trial(plan, root, scope, before, loader, witness, watch, sampler)
        declared = trial.run()
        return Outcome(
            environment=environment,
            declared=declared,
            tasks=tuple(_fates(before, declared, watch.deaths)),
            events=scope.changes(before.events),
            memory_before=before.memory,
            memory_after=scope.memory(),
            log_lost=sum(one.evidence.lost for one in declared),
            verdict=overall([one.verdict for one in declared]),
            samples=tuple(sampler.samples),
        )


@dataclass
class _Trial:
    """The declarations of one experiment: asks, waits for the victims, then takes account."""

    plan: Plan
    root: UnifiedNode
    scope: Scope
    before: Snapshot
    loader: Loader
    witness: Witness
    watch: DeathWatch
    sampler: Sampler
    events: list[Event] = field(default_factory=list)

    def run(self) -> tuple[Declared, ...]:
        """Declare as often as planned."""
        self.witness.hear()
        asked: list[Asked] = []
        for _ in range(self.plan.repeat):
            one = self._ask()
            if not self.plan.back_to_back:
                one = self._settle(one)
            asked.append(one)
        if self.plan.back_to_back:
            asked = [self._settle(one) for one in asked]
        self.watch.note()
        self._listen()
        after = self._aftermath()
        declared: list[Declared] = []
        earlier: set[int] = set()
        for one in asked:
            declared.append(account(one, frozenset(earlier), after))
            earlier |= killed_by(one, after).keys()
        return tuple(declared)

    def _ask(self) -> Asked:
        prediction = predict_target(self.scope.target, self.root)
        groups, pressure = self.scope.events(), self.scope.pressure()
        self._listen()
        self.sampler.sample()
        answer = self.loader.declare(
            self.plan.call,
            self.scope.target_id,
            self.watch,
            self.plan.timeout,
            self.sampler.sample,
        )
        self.sampler.sample()
        heard = self._listen()
        self.sampler.sample()
        deltas = self.scope.changes(groups).values()
        return Asked(
            self.plan.call,
            self.scope.target_id,
            answer,
            heard.events,
            heard.log,
            heard.lost,
            group_kills=sum(delta.get("oom_group_kill", 0) for delta in deltas),
            prediction=prediction,
            pressure={k: v - pressure.get(k, 0) for k, v in self.scope.pressure().items()},
        )

    def _settle(self, one: Asked) -> Asked:
        """Wait until the victims of a call have ended and their memory is back."""
        self.sampler.sample()
        pids = set(killed_by(one, self._aftermath()))
        for pid in pids - self.watch.watched():
            self.watch.add(pid)
        ended = self.watch.wait(
            lambda: pids <= self.watch.deaths.keys(), self.plan.timeout, self.sampler.sample
        )
        if not ended:
            talk.note(f"a victim has not ended within {self.plan.timeout:g} s of the call")
        if pids:
            self.watch.wait(lambda: False, _AFTERGLOW, self.sampler.sample)
        self.sampler.sample()
        self._listen()
        return replace(one, later=tuple(self._moments(one))) if pids and ended else one

    def _moments(self, one: Asked) -> Iterator[Stamp]:
        """Tell what user space saw of the end: memory below what it was, nobody left."""
        since = one.answer.began_ns
        was = [s.bytes for s in self.sampler.samples if s.at_ns < since and s.cgroup == self._top()]
        relieved = self.sampler.first_below(was[-1], since) if was else None
        if relieved is not None:
            yield Stamp("relieved", relieved)
        if not self.scope.populated():
            yield Stamp("unpopulated", time.monotonic_ns())

    def _top(self) -> str:
        counted = self.scope.counted()
        return counted.cgroup if counted else ""

    def _listen(self) -> Heard:
        heard = self.witness.hear()
        self.events += heard.events
        return heard

    def _aftermath(self) -> Aftermath:
        ended = {pid: death.at_ns for pid, death in self.watch.deaths.items()}
        # the kernel's own stamp is earlier and better than when a pidfd was noticed
        ended |= {event.tgid: event.at_ns for event in self.events if event.kind is Kind.EXIT}
        return Aftermath(
            tuple(self.events),
            ended,
            lambda kill: self.scope.owns(kill, self.before),
            self.scope.path_of,
            self.witness.why_not,
        )


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
    exits = {
        stamp.pid: stamp.at_ns
        for one in declared
        for stamp in one.timeline.stamps
        if stamp.name == "exited"
    }
    badness = {
        candidate.task.pid: candidate.badness
        for one in reversed(declared)
        if one.prediction
        for candidate in one.prediction.candidates
    }
    known = list(before.tasks)
    for kill in kills.values():
        if all(task.pid != kill.pid for task in known):
            known.append(before.find(kill.pid) or _unknown(kill))
    for task in known:
        death = deaths.get(task.pid)
        if death and task.pid in exits:
            death = replace(death, at_ns=exits[task.pid])
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
            badness=badness.get(task.pid),
            collateral=any(task.pid in one.collateral for one in declared),
        )


def _call_before(death: Death, declared: Sequence[Declared]) -> int | None:
    """Return the index of the last call that began before a death."""
    began = [i for i, one in enumerate(declared) if one.answer.began_ns <= death.at_ns]
    return began[-1] if began else None


def _unknown(kill: Kill) -> Task:
    """Stand in for a victim born after the snapshot: all there is, is the kernel's word."""
    cgroup = printable(kill.memcg or "?")
    return Task(kill.pid, kill.comm, cgroup, kill.oom_score_adj, kill.rss, 0, 0, 0.0)
