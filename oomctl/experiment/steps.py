"""The declarations of one round: asks step by step, waits for the victims, then takes account."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from oomctl import console
from oomctl.bpf.declare import DeclareProgram
from oomctl.bpf.probes import silent_programs
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.usage import Sampler
from oomctl.errors import OomctlError
from oomctl.experiment.callers import call_together
from oomctl.experiment.candidates import read_candidates, target_pages
from oomctl.experiment.sources import NOTHING, Batch, History
from oomctl.experiment.target import Snapshot, TargetState, rises
from oomctl.experiment.triggers import Limit, target_id, trigger
from oomctl.journal.file import Journal
from oomctl.oom import safety
from oomctl.oom.account import account
from oomctl.oom.attribution import SYSRQ_ORDER, CallObservation, PostRun, killed_by
from oomctl.oom.call import CallResult
from oomctl.oom.enums import Moment, Until, Via
from oomctl.oom.event import EventKind
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport
from oomctl.oom.plan import Plan, Step
from oomctl.oom.task import ProtectedTask, Task
from oomctl.oom.timeline import Stamp
from oomctl.proc import procfs
from oomctl.proc.pidfd import PidfdWatch

_AFTERGLOW = 0.02
"""Seconds of samples after the last death, so that a drawing shows where the memory went."""
_SYSRQ_PATIENCE = 5.0
"""Seconds that the kernel's worker may take to serve sysrq (drivers/tty/sysrq.c, moom_callback)."""
_REST = 2.0
"""Seconds for those of a killed group to end who are ending by themselves, not by its kill."""
_FREED = 0.9
"""The part of what the victims held that has to be back for their memory to count as freed."""


@dataclass
class RoundRunner:
    """Everything that the declarations of one round need; `run()` makes them all."""

    plan: Plan
    root: UnifiedNode
    target_state: TargetState
    before: Snapshot
    program: DeclareProgram
    history: History
    watch: PidfdWatch
    journal: Journal
    sampler: Sampler
    family: Sequence[ProtectedTask]
    around: Callable[[Step], AbstractContextManager[object]] = nullcontext
    """Entered just before the callers of a step are started, and left once they are back."""
    failure: OomctlError | None = None
    """Why the calls stopped after at least one was made; None if all were made."""

    def run(self) -> tuple[CallReport, ...]:
        """Declare as planned; raises only what comes up before the first call is made."""
        self.history.update()
        asked: list[CallObservation] = []
        try:
            for together in self._turns():
                asked += together
        except OomctlError as error:
            if not asked:
                raise
            self.failure = error
        asked = [
            one
            if self.plan.steps[one.step].until != Until.RETURNED
            else self._settle([one], self.plan.steps[one.step])[0]
            for one in asked
        ]
        self.watch.poll()
        self.history.update()
        return tuple(self._accounts(asked))

    def _turns(self) -> Iterator[list[CallObservation]]:
        for index, step in enumerate(self.plan.steps):
            for turn in range(step.repeat):
                if step.delay:
                    self.watch.wait(lambda: False, step.delay, self.sampler.sample)
                together = self._ask(step, index, turn)
                yield together if step.until == Until.RETURNED else self._settle(together, step)
                if self.failure:
                    return

    def _accounts(self, asked: Sequence[CallObservation]) -> Iterator[CallReport]:
        after = self._aftermath()
        killed: set[int] = set()
        told: tuple[int, int] | None = None
        for one in asked:
            earlier = one.taken | killed
            declared = account(one, frozenset(earlier), after)
            killed |= {kill.pid for kill in declared.kills}
            # what callers of one turn heard is the same log: it is told once
            yield declared if told != (one.step, one.turn) else replace(declared, log=())
            told = one.step, one.turn

    def _ask(self, step: Step, index: int, turn: int) -> list[CallObservation]:
        """Let the callers of one turn call; return what came, who had the lock first before."""
        call = step.call
        target = None if call.target is None else self.root.at(call.target)
        lineup = read_candidates(target, self.root)
        safety.check_candidates(call, step.callers, lineup, self.family)
        members = self._members(target) if call.via == Via.KILL else {}
        cgroup_id = None if target is None else target_id(target)
        counters, pressure = self.target_state.events(), self.target_state.pressure()
        grouping = {*lineup.groups, *([] if call.target is None else [call.target])}
        groups = self.target_state.group_kills(grouping)
        fired = self.history.update().fired
        taken = frozenset(self.history.taken)
        # a victim that was not watched so far is in flight only if it still exists
        for pid in taken - self.watch.watched():
            self.watch.add(pid)
        self.sampler.sample()
        batch = NOTHING

        def tick() -> None:
            nonlocal batch
            self.sampler.sample()
            # a limit's writer spins in the OOM killer, which would overflow the ring buffer
            if call.via == Via.LIMIT:
                batch += self.history.update()

        answers: list[CallResult] = []
        try:
            with (
                trigger(step, target, self.program, self.journal) as pulled,
                self.around(step),
            ):
                if target and isinstance(pulled, Limit):
                    # what is written is what oom_score_adj is scaled by
                    lineup = replace(lineup, totalpages=target_pages(target, pulled.limit))
                answers = call_together(
                    pulled,
                    step.callers,
                    self.watch,
                    self.plan.timeout,
                    tick,
                    lambda: self._disguise(step),
                )
        except OomctlError as error:
            if not answers:
                raise
            self.failure = error
        self.sampler.sample()
        batch += self.history.update()
        if call.via == Via.SYSRQ:
            batch = self._await_sysrq(batch)
        self.sampler.sample()
        rise = rises(counters, self.target_state.events()).get(call.target or "", {})
        self.sampler.sample()
        callers = {answer.caller for answer in answers}
        silent = self.history.silent + silent_programs(
            fired,
            batch.fired,
            calls=sum(answer.ret in (0, 1) for answer in answers if call.via == Via.BPF),
            kills=len(
                {
                    said.pid
                    for said in batch.logged
                    if said.invoker_pid in callers
                    or (call.via == Via.SYSRQ and said.order == SYSRQ_ORDER)
                }
            ),
        )
        grouped = self.target_state.group_kills(grouping)
        asked = [
            CallObservation(
                call,
                cgroup_id,
                answer,
                batch.events,
                batch.log,
                batch.lost,
                group_kills=max((grouped[each] - groups[each] for each in groups), default=0),
                lineup=lineup,
                pressure={
                    k: v - pressure.get(k, 0) for k, v in self.target_state.pressure().items()
                },
                step=index,
                turn=turn,
                members=members,
                taken=taken,
                logged=batch.logged,
                silent=tuple(dict.fromkeys(silent)),
                counted=rise.get("oom_kill"),
            )
            for answer in answers
        ]
        return sorted(asked, key=lambda one: one.locked_ns)

    def _disguise(self, step: Step) -> None:
        """Make the caller, in which this runs, what the step wants it to be."""
        if step.caller_adj is not None:
            procfs.set_oom_score_adj(step.caller_adj)
        if step.caller_cgroup:
            self.root.at(step.caller_cgroup).controller.set_property(b"cgroup.procs", 0)

    def _await_sysrq(self, batch: Batch) -> Batch:
        """Wait for the worker that serves sysrq; the write itself comes back at once."""
        deadline = time.monotonic() + _SYSRQ_PATIENCE
        while not _served(batch) and time.monotonic() < deadline:
            self.watch.wait(lambda: False, 0.02, self.sampler.sample)
            batch = batch + self.history.update()
        return batch

    def _settle(self, together: list[CallObservation], step: Step) -> list[CallObservation]:
        """Wait until the victims of a turn have ended, or until their memory is back."""
        self.sampler.sample()
        after = self._aftermath()
        kills = {pid: kill for one in together for pid, kill in killed_by(one, after).items()}
        self.sampler.sample()
        for pid in kills.keys() - self.watch.watched():
            self.watch.add(pid)
        usage = self._usage_before(together[0].result.began_ns)
        if step.until == Until.FREED and usage is not None:
            goal = usage - _FREED * sum(kill.rss for kill in kills.values())
            over, what = lambda: (self.target_state.memory() or 0) <= goal, "given its memory back"
        else:
            pids = kills.keys() | together[0].members.keys()
            over, what = lambda: pids <= self.watch.deaths.keys(), "ended"
        if not self.watch.wait(over, self.plan.timeout, self.sampler.sample):
            console.note(f"a victim has not {what} within {self.plan.timeout:g} s of the call")
        if kills:
            self.watch.wait(lambda: False, _AFTERGLOW, self.sampler.sample)
        rest = {pid for one in together for pid in _rest(one, kills)} & self.watch.watched()
        self.watch.wait(lambda: rest <= self.watch.deaths.keys(), _REST, self.sampler.sample)
        self.sampler.sample()
        self.history.update()
        return [replace(one, later=tuple(self._moments(one))) for one in together]

    def _moments(self, one: CallObservation) -> Iterator[Stamp]:
        """Tell what user space saw of the end: memory below what it was, nobody left."""
        since = one.result.began_ns
        was = self._usage_before(since)
        relieved = None if was is None else self.sampler.first_below(was, since)
        if relieved is not None:
            yield Stamp(Moment.RELIEVED, relieved)
        if not self.target_state.gone and not self.target_state.populated():
            yield Stamp(Moment.UNPOPULATED, time.monotonic_ns())

    def _usage_before(self, since_ns: int) -> int | None:
        top = self.plan.top
        was = [s.bytes for s in self.sampler.samples if s.at_ns < since_ns and s.cgroup == top]
        return was[-1] if was else None

    def _members(self, target: UnifiedNode | None) -> dict[int, Task]:
        """Return the processes of a target by PID, watched from now on."""
        tasks = procfs.read_tasks(target.members()) if target else []
        for pid in {task.pid for task in tasks} - self.watch.watched():
            self.watch.add(pid)
        return {task.pid: task for task in tasks}

    def _aftermath(self) -> PostRun:
        ended = {pid: death.at_ns for pid, death in self.watch.deaths.items()}
        # the kernel's own stamp is earlier and better than when a pidfd was noticed
        ended |= {e.tgid: e.at_ns for e in self.history.events if e.kind is EventKind.EXIT}
        return PostRun(
            self.history.events,
            ended,
            lambda kill, target: self.target_state.owns(kill, target, self.before),
            self.target_state.path_of,
            self.history.no_tracing_reason,
            frozenset(pid for pid, death in self.watch.deaths.items() if death.by_sigkill),
            self.before.tasks,
        )


def _rest(one: CallObservation, kills: Mapping[int, OomKill]) -> set[int]:
    """Return the members of the killed groups that are not among the kills."""
    groups = {kill.group for kill in kills.values() if kill.group}
    found = {pid for each in groups if one.lineup for pid in one.lineup.members(each)}
    return found - kills.keys() - one.taken


def _served(batch: Batch) -> bool:
    if batch.logged or batch.log.found_no_killable or batch.log.refused_sysrq:
        return True
    return any(e.kind is EventKind.OOM_END and e.order == SYSRQ_ORDER for e in batch.events)
