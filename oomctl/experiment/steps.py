"""The calls of one round: makes them step by step, and reports each call."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from oomctl.bpf.probes import silent_programs
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.usage import Sampler
from oomctl.errors import OomctlError
from oomctl.experiment.actions import ActionRunner
from oomctl.experiment.caller import Words
from oomctl.experiment.callers import call_together
from oomctl.experiment.candidates import read_candidates, target_pages
from oomctl.experiment.history import History, Position
from oomctl.experiment.roundsetup import RoundSetup
from oomctl.experiment.sources import Batch
from oomctl.experiment.target import Snapshot, TargetState, rises
from oomctl.experiment.triggers import Limit, target_id, trigger
from oomctl.experiment.waits import Waits
from oomctl.oom import safety
from oomctl.oom.account import account
from oomctl.oom.attribution import CallObservation, PostRun
from oomctl.oom.call import CallResult
from oomctl.oom.enums import Until, Via
from oomctl.oom.event import EventKind
from oomctl.oom.outcome import CallReport
from oomctl.oom.plan import Step
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task
from oomctl.proc import procfs
from oomctl.proc.pidfd import PidfdWatch


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

    def __post_init__(self) -> None:
        self._waits = Waits(
            *(self.setup, self.target_state, self.history),
            *(self.watch, self.sampler, self.actions),
        )

    def run(self) -> tuple[CallReport, ...]:
        """Make the calls of the plan; raises only errors that occur before the first of them."""
        made: list[CallObservation] = []
        steps = self.setup.plan.steps
        self.actions.tasks_changed = self._join
        self._waits.before_calls()
        try:
            for turn in self._turns():
                made += turn
            self._waits.await_actions()
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
                    self._waits.pause(step.delay)
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
        since, taken = self.history.position(), frozenset(self.history.taken)
        # a victim that is not watched yet is in flight only if it still exists
        for pid in taken - self.watch.watched():
            self.watch.add(pid)
        self.sampler.sample()
        acted = len(self.actions.reports)
        candidates, results, batch = self._run_callers(step, target, candidates, since)
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
        kills = batch.killed_for(callers, sysrq=via == Via.SYSRQ)
        calls = sum(result.ret in (0, 1) for result in results if via in (Via.BPF, Via.PSI))
        return silent_programs(fired, self.history.fired(), calls=calls, kills=len(kills))

    def _run_callers(
        self, step: Step, target: UnifiedNode | None, candidates: Candidates, since: Position
    ) -> tuple[Candidates, list[CallResult], Batch]:
        """Pull the trigger; an error that occurs after the calls becomes the round's failure."""

        def tick() -> None:
            self.sampler.sample()
            # the writer of memory.max loops in the OOM killer, which would overflow the ring buffer
            if step.call.via == Via.LIMIT or self.actions.awaits_marks:
                self.history.update()
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
        if step.call.via == Via.SYSRQ:
            self._waits.await_sysrq(since)
        return candidates, results, self._waits.await_log(since)

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

    def _settle(self, turn: list[CallObservation], step: Step) -> list[CallObservation]:
        self.sampler.sample()
        return self._waits.settle(turn, step, self._post_run())

    def _join(self) -> None:
        """Take note of hogs that an action has started or moved."""
        now = self.target_state.snapshot(self.actions.runners)
        self.before = self.before.joined(now)
        for pid in {task.pid for task in self.before.tasks} - self.watch.watched():
            self.watch.add(pid)

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
