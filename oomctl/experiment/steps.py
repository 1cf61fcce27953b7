"""The calls of one round: makes them step by step, waits for the victims, and reports each call."""

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
from oomctl.experiment.actions import ActionRunner
from oomctl.experiment.caller import Words
from oomctl.experiment.callers import call_together
from oomctl.experiment.candidates import read_candidates, target_pages
from oomctl.experiment.history import History
from oomctl.experiment.sources import NOTHING, Batch
from oomctl.experiment.target import Snapshot, TargetState, rises
from oomctl.experiment.triggers import Limit, target_id, trigger
from oomctl.hog.hogset import RunningHog
from oomctl.journal.file import Journal
from oomctl.oom import safety
from oomctl.oom.account import account
from oomctl.oom.attribution import SYSRQ_ORDER, CallObservation, PostRun, killed_by
from oomctl.oom.call import CallResult
from oomctl.oom.enums import Context, Moment, Until, Via
from oomctl.oom.event import EventKind
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport
from oomctl.oom.plan import Plan, Step
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import ProtectedTask, Task
from oomctl.oom.timeline import Stamp
from oomctl.proc import procfs
from oomctl.proc.pidfd import PidfdWatch

DAY = 86_400.0
_SAMPLES_AFTER = 0.02
"""Seconds of samples after the last death, so that a chart shows where the memory went."""
_SAMPLES_BEFORE, _BACK_TIMEOUT = 0.05, 1.0
"""Seconds of samples before the first call, and most of those until memory is back, if drawn."""
_SYSRQ_TIMEOUT = 5.0
"""Seconds for the kernel's worker to serve sysrq (drivers/tty/sysrq.c, moom_callback())."""
_LOG_TIMEOUT = 2.0
"""Seconds for the log's lines of victims that were traced."""
_GROUP_TIMEOUT = 2.0
"""Seconds for members of a killed group to exit that were exiting already and got no kill."""
_FREED = 0.9
"""The share of the victims' memory that must be free again for it to count as freed."""


@dataclass(frozen=True)
class RoundSetup:
    """What a session gives to a round.

    `task_work` is the program for calls in task work, if the plan has any. `ready` gets the hogs
    once they are filled, before the tasks are read. `around` is entered just before the callers of
    a step are started, and left once they have returned. A round that is `drawn` takes longer: its
    samples begin well before the first call, and end when memory is back.
    """

    plan: Plan
    root: UnifiedNode
    program: DeclareProgram
    journal: Journal
    protected: Sequence[ProtectedTask]
    ready: Callable[[Sequence[RunningHog]], object] | None = None
    around: Callable[[Step], AbstractContextManager[object]] | None = None
    task_work: DeclareProgram | None = None
    drawn: bool = False

    def program_of(self, step: Step) -> DeclareProgram:
        """Return the program for the context of a step's call."""
        if step.call.context == Context.TASK_WORK and self.task_work:
            return self.task_work
        return self.program


@dataclass
class RoundRunner:
    """Makes all calls of one round.

    `failure` is why they stopped after at least one call was made; None if all were made.
    """

    setup: RoundSetup
    target_state: TargetState
    before: Snapshot
    history: History
    watch: PidfdWatch
    sampler: Sampler
    actions: ActionRunner
    failure: OomctlError | None = None

    def run(self) -> tuple[CallReport, ...]:
        """Make the calls of the plan; raises only errors that occur before the first of them."""
        made: list[CallObservation] = []
        steps = self.setup.plan.steps
        self.actions.tasks_changed = self._join
        if self.setup.drawn and steps:
            self._pause(_SAMPLES_BEFORE)
        try:
            for turn in self._turns():
                made += turn
            self._await_actions()
            if self.actions.failure:
                raise self.actions.failure
        except OomctlError as error:
            if not made:
                raise
            self.failure = error
        made = [
            self._settle([one], steps[one.step])[0]
            if steps[one.step].until == Until.RETURNED
            else one
            for one in made
        ]
        self.watch.poll()
        self.history.update()
        return tuple(self._reports(made))

    def _turns(self) -> Iterator[list[CallObservation]]:
        for index, step in enumerate(self.setup.plan.steps):
            for number in range(step.repeat):
                if step.delay:
                    self._pause(step.delay)
                turn = self._call(step, index, number)
                self.actions.returned(index)
                yield turn if step.until == Until.RETURNED else self._settle(turn, step)
                self.actions.make_due()
                if self.failure or self.actions.failure:
                    return

    def _reports(self, made: Sequence[CallObservation]) -> Iterator[CallReport]:
        after = self._post_run()
        killed: set[int] = set()
        last: tuple[int, int] | None = None
        for one in made:
            report = account(one, frozenset(one.taken | killed), after)
            killed |= {kill.pid for kill in report.kills}
            # simultaneous calls share their log records: only the first report has them
            yield report if last != (one.step, one.turn) else replace(report, log=())
            last = one.step, one.turn

    def _call(self, step: Step, index: int, turn: int) -> list[CallObservation]:
        """Run the callers of one turn; results in the order in which they took oom_lock."""
        call, state = step.call, self.target_state
        target = None if call.target is None else self.setup.root.at(call.target)
        candidates = read_candidates(
            target, self.setup.root, self._just_read(step) if index == turn == 0 else None
        )
        safety.check_candidates(call, step.callers, candidates, self.setup.protected)
        members = self._members(target) if call.via == Via.KILL else {}
        cgroup_id = None if target is None else target_id(target)
        events, pressure = state.events_of(call.target), state.pressure()
        groups = {*candidates.groups, *([] if call.target is None else [call.target])}
        group_kills = state.group_kills(groups)
        fired = self.history.fired()
        self.history.update()
        taken = frozenset(self.history.taken)
        # a victim that is not watched yet is in flight only if it still exists
        for pid in taken - self.watch.watched():
            self.watch.add(pid)
        self.sampler.sample()
        acted = len(self.actions.reports)
        candidates, results, batch = self._run_callers(step, target, candidates)
        disturbed = any(
            one.action.may_turn_choice and not one.failed for one in self.actions.reports[acted:]
        )
        self.sampler.sample()
        rise = rises(events, state.events_of(call.target)).get(call.target or "", {})
        self.sampler.sample()
        silent = self.history.silent + self._silent(step, results, fired, batch)
        group_kills_after = state.group_kills(groups)
        made = [
            CallObservation(
                call,
                cgroup_id,
                result,
                batch.events,
                batch.log,
                batch.lost,
                group_kills=max(
                    (group_kills_after[each] - group_kills[each] for each in group_kills),
                    default=0,
                ),
                candidates=candidates,
                pressure={
                    name: us - pressure.get(name, 0) for name, us in state.pressure().items()
                },
                step=index,
                turn=turn,
                members=members,
                taken=taken,
                logged=batch.logged,
                silent=tuple(dict.fromkeys(silent)),
                counted=rise.get("oom_kill"),
                disturbed=disturbed,
            )
            for result in results
        ]
        return sorted(made, key=lambda one: one.locked_ns)

    def _silent(
        self, step: Step, results: Sequence[CallResult], fired: Mapping[str, int], batch: Batch
    ) -> tuple[str, ...]:
        """Return the observer's programs that must have run during the calls but did not."""
        via, callers = step.call.via, {result.caller for result in results}
        kills = {
            kill.pid
            for kill in batch.logged
            if kill.invoker_pid in callers or (via == Via.SYSRQ and kill.order == SYSRQ_ORDER)
        }
        calls = sum(result.ret in (0, 1) for result in results if via in (Via.BPF, Via.PSI))
        return silent_programs(fired, self.history.fired(), calls=calls, kills=len(kills))

    def _run_callers(
        self, step: Step, target: UnifiedNode | None, candidates: Candidates
    ) -> tuple[Candidates, list[CallResult], Batch]:
        """Pull the trigger; an error that occurs after the calls becomes the round's failure."""
        batch = NOTHING

        def tick() -> None:
            nonlocal batch
            self.sampler.sample()
            # the writer of memory.max loops in the OOM killer, which would overflow the ring buffer
            if step.call.via == Via.LIMIT or self.actions.awaits_marks:
                batch += self.history.update()
            self.actions.make_due()

        setup = self.setup
        results: list[CallResult] = []
        try:
            with (
                trigger(step, target, setup.program_of(step), setup.journal) as pulled,
                setup.around(step) if setup.around else nullcontext(),
            ):
                if target and isinstance(pulled, Limit):
                    # the kernel scales oom_score_adj by the limit that is written
                    totalpages = target_pages(target, pulled.limit)
                    candidates = replace(candidates, totalpages=totalpages)
                results = call_together(
                    pulled,
                    step.callers,
                    self.watch,
                    setup.plan.timeout,
                    tick,
                    self._place_of(step),
                )
        except OomctlError as error:
            if not results:
                raise
            self.failure = error
        self.sampler.sample()
        batch += self.history.update()
        if step.call.via == Via.SYSRQ:
            batch = self._await_sysrq(batch)
        return candidates, results, self._await_log(batch)

    def _just_read(self, step: Step) -> list[Task] | None:
        """Return the tasks of the first call's target, without those that have ended since.

        None if the snapshot has others, or if something was waited for after it.
        """
        plan = self.setup.plan
        changed = step.delay or self.actions.reports
        if changed or plan.system_wide or step.call.target != plan.top:
            return None
        self.watch.poll()
        return [task for task in self.before.tasks if task.pid not in self.watch.deaths]

    def _place_of(self, step: Step) -> Words:
        """Return where the callers are to be, as their arguments."""
        place: dict[str, str | int] = {}
        if step.caller_adj is not None:
            place["adj"] = step.caller_adj
        if step.caller_cgroup:
            place["procs"] = str(self.setup.root.at(step.caller_cgroup).directory / "cgroup.procs")
        return place

    def _await_sysrq(self, batch: Batch) -> Batch:
        """Wait for the worker that serves sysrq: the write itself returns at once."""
        deadline = time.monotonic() + _SYSRQ_TIMEOUT
        while not _served(batch) and time.monotonic() < deadline:
            self._pause(0.02)
            batch = batch + self.history.update()
        return batch

    def _await_log(self, batch: Batch) -> Batch:
        """Wait for the log's lines of the traced victims.

        A CPU that stands still while it makes a record holds back all later ones
        (kernel/printk/printk_ringbuffer.c, _prb_read_valid()), as that of a virtual machine may.
        """
        deadline = time.monotonic() + _LOG_TIMEOUT
        while batch.is_unlogged and time.monotonic() < deadline:
            self._pause(0.02)
            batch = batch + self.history.update()
        return batch

    def _settle(self, turn: list[CallObservation], step: Step) -> list[CallObservation]:
        """Wait until the victims of a turn have exited, or until their memory is free."""
        self.sampler.sample()
        after, timeout = self._post_run(), self.setup.plan.timeout
        kills = {pid: kill for one in turn for pid, kill in killed_by(one, after).items()}
        self.sampler.sample()
        for pid in kills.keys() - self.watch.watched():
            self.watch.add(pid)
        usage = self._usage_before(turn[0].result.began_ns)
        if step.until == Until.FREED and usage is not None:
            goal = usage - _FREED * sum(kill.rss for kill in kills.values())
            done, what = lambda: (self.target_state.memory() or 0) <= goal, "freed its memory"
        else:
            pids = kills.keys() | turn[0].members.keys()
            done, what = lambda: pids <= self.watch.deaths.keys(), "ended"
        if not self.watch.wait(done, timeout, self._tick):
            console.note(f"a victim has not {what} within {timeout:g} s of the call")
        if kills:
            if self.setup.drawn and usage is not None:
                self._await_memory(usage - _FREED * sum(kill.rss for kill in kills.values()))
            self._pause(_SAMPLES_AFTER)
        rest = {pid for one in turn for pid in _spared_members(one, kills)} & self.watch.watched()
        self.watch.wait(lambda: rest <= self.watch.deaths.keys(), _GROUP_TIMEOUT, self._tick)
        self.sampler.sample()
        return [replace(one, later=tuple(self._moments(one))) for one in turn]

    def _await_memory(self, goal: float) -> None:
        """Take samples until the usage of the target is that low; not for long."""
        self.watch.wait(
            lambda: (self.target_state.memory() or 0) <= goal, _BACK_TIMEOUT, self._tick
        )

    def _pause(self, seconds: float) -> None:
        """Take samples and note deaths for some time."""
        self.watch.wait(lambda: False, seconds, self._tick)

    def _tick(self) -> None:
        self.sampler.sample()
        if self.actions.awaits_marks:
            self.history.update()
        self.actions.make_due()

    def _await_actions(self) -> None:
        """Make the actions that are left, as long as their time comes or a victim is dying."""
        deadline = time.monotonic() + self.setup.plan.timeout

        def is_over() -> bool:
            if self.actions.are_coming:
                return False
            if not self.actions.left:
                return True
            self.history.update()
            dying = self.history.taken & self.watch.watched() - self.watch.deaths.keys()
            return not dying or time.monotonic() > deadline

        self.watch.wait(is_over, DAY, self._tick)

    def _join(self) -> None:
        """Take note of hogs that an action has started or moved."""
        now = self.target_state.snapshot(self.actions.runners)
        self.before = self.before.joined(now)
        for pid in {task.pid for task in self.before.tasks} - self.watch.watched():
            self.watch.add(pid)

    def _moments(self, one: CallObservation) -> Iterator[Stamp]:
        """Yield what user space can see: memory below its former usage, no process left."""
        since = one.result.began_ns
        usage = self._usage_before(since)
        relieved = None if usage is None else self.sampler.first_below(usage, since)
        if relieved is not None:
            yield Stamp(Moment.RELIEVED, relieved)
        if not self.target_state.gone and not self.target_state.populated():
            yield Stamp(Moment.UNPOPULATED, time.monotonic_ns())

    def _usage_before(self, since_ns: int) -> int | None:
        top, samples = self.setup.plan.top, self.sampler.samples
        before = (each for each in reversed(samples) if each.at_ns < since_ns)
        return next((each.bytes for each in before if each.cgroup == top), None)

    def _members(self, target: UnifiedNode | None) -> dict[int, Task]:
        """Return the processes of a target by PID, and watch them."""
        tasks = procfs.read_tasks(target.members()) if target else []
        for pid in {task.pid for task in tasks} - self.watch.watched():
            self.watch.add(pid)
        return {task.pid: task for task in tasks}

    def _post_run(self) -> PostRun:
        ended = {pid: death.at_ns for pid, death in self.watch.deaths.items()}
        # the kernel's time of the exit is more precise than that of the pidfd
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


def _spared_members(one: CallObservation, kills: Mapping[int, OomKill]) -> set[int]:
    """Return the members of the killed groups that are not among the kills."""
    groups = {kill.group for kill in kills.values() if kill.group}
    found = {pid for each in groups if one.candidates for pid in one.candidates.members(each)}
    return found - kills.keys() - one.taken


def _served(batch: Batch) -> bool:
    if batch.logged or batch.log.found_no_killable or batch.log.refused_sysrq:
        return True
    return any(e.kind is EventKind.OOM_END and e.order == SYSRQ_ORDER for e in batch.events)
