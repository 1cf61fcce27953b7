"""Carries out plans: a session outlives its rounds; tree, hogs and calls belong to a round."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Self

import psutil

from oomctl import console
from oomctl.bpf.btf import Kfunc
from oomctl.bpf.declare import DeclareProgram, TaskWorkProgram
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.parent import in_leaf_cgroup
from oomctl.cgroup.tree import Tree
from oomctl.cgroup.usage import Sampler
from oomctl.describe.step_text import action_text, after_text
from oomctl.errors import OomctlError
from oomctl.experiment import cleanup
from oomctl.experiment.actions import ActionRunner
from oomctl.experiment.candidates import read_candidates
from oomctl.experiment.counters import watched
from oomctl.experiment.environment import SYSCTLS, protected, read_environment
from oomctl.experiment.history import History
from oomctl.experiment.known_tasks import kills_beside, known_tasks, report_of
from oomctl.experiment.roundsetup import RoundSetup
from oomctl.experiment.setting import sysctl_changed
from oomctl.experiment.sources import OomSources
from oomctl.experiment.steps import RoundRunner
from oomctl.experiment.target import TargetState, rises
from oomctl.hog.hogset import HogSet, RunningHog
from oomctl.journal.file import Journal
from oomctl.oom import safety
from oomctl.oom.enums import Context
from oomctl.oom.expectation import check_outcome
from oomctl.oom.fates import fates
from oomctl.oom.outcome import CallReport, Environment, Outcome
from oomctl.oom.plan import Plan, Step
from oomctl.oom.task import Task, rank
from oomctl.oom.verdict import overall
from oomctl.proc import procfs
from oomctl.proc.kmsg import marked
from oomctl.proc.pidfd import PidfdWatch
from oomctl.signals import signals_blocked, signals_unblocked
from oomctl.text import counted

Ranking = Sequence[tuple[int, Task]]


class Session:
    """What is set up once for any number of rounds: protection, loaded programs, sources.

    `confirm` is called before the first system-wide call with the machine's ranking, the first to
    die first, and raises to stop it; with None there is no question. Trees are made in
    `parent_cgroup`, if it is given, else in the root; oomctl leaves that cgroup for the time being.
    Leftovers of a killed oomctl are cleaned up first.
    """

    journal: Journal
    program: DeclareProgram
    drawn = False
    """Whether samples are to show each round from well before its first call to well after it."""

    def __init__(
        self,
        root: UnifiedNode,
        kfunc: Kfunc,
        confirm: Callable[[Ranking], None] | None,
        parent_cgroup: UnifiedNode | None = None,
    ) -> None:
        self._root = root
        self._parent_cgroup = parent_cgroup
        self._kfunc = kfunc
        self._confirm = confirm
        self._kept: list[Plan] = []
        self._task_work: TaskWorkProgram | None = None
        self._own = psutil.Process()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Set up; raises the errors of what it opens."""
        cleanup.sweep()
        with ExitStack() as stack:
            stack.enter_context(signals_blocked())
            self.journal = stack.enter_context(Journal())
            if self._parent_cgroup:
                stack.enter_context(in_leaf_cgroup(self._parent_cgroup, self.journal))
            stack.enter_context(protected())
            self.environment = read_environment(self._kfunc)
            self.program = stack.enter_context(DeclareProgram())
            self._sources = stack.enter_context(OomSources(self._root.id))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take everything down; ending signals that arrived during a round are raised after it."""
        self._stack.close()

    @contextmanager
    def keep_tree(self, plan: Plan) -> Iterator[None]:
        """Keep the plan's tree for all rounds in the block; each round has only fresh hogs.

        A plan with actions, which change its tree, has a fresh tree in each round, too.
        """
        if plan.actions:  # they change it
            yield
            return
        with Tree(self._root, plan, self.journal):
            self._kept.append(plan)
            try:
                yield
            finally:
                self._kept.remove(plan)

    def run(
        self,
        plan: Plan,
        ready: Callable[[Sequence[RunningHog]], object] | None = None,
        around: Callable[[Step], AbstractContextManager[object]] | None = None,
    ) -> Outcome:
        """Carry out one round of a plan, and remove everything that was made for it.

        `ready` and `around` are described at RoundSetup. Raises the errors of its stages; but once
        a call was made, or hogs were filled without a call, there is an outcome, and what fails
        after that is its `failure`.
        """
        is_kept = any(plan is each for each in self._kept)
        setup = RoundSetup(
            plan,
            self._root,
            self.program,
            self.journal,
            procfs.protected_tasks(),
            ready,
            around,
            self._task_work_for(plan),
            self.drawn,
            frozenset() if is_kept else frozenset(plan.cgroups),
        )
        targets = {plan.top, *(step.call.target for step in plan.steps)} - {None}
        safety.check_targets(map(str, targets), setup.protected)
        sysctls, adj = procfs.sysctls(SYSCTLS), self.environment.oom_score_adj
        for step in plan.steps:
            safety.check_sysctls(step.call, sysctls, adj, plan.all_sysctls)
        began = time.monotonic_ns()
        outcome: Outcome | None = None
        try:
            with ExitStack() as stack:
                for sysctl in plan.sysctls:
                    stack.enter_context(sysctl_changed(sysctl, self.journal))
                if plan.sysctls:
                    sysctls = procfs.sysctls(SYSCTLS)
                environment = replace(self.environment, sysctls=sysctls)
                if not is_kept:
                    stack.enter_context(Tree(self._root, plan, self.journal))
                stack.enter_context(marked(f"declare on {plan.top or 'the whole system'}"))
                outcome = self._round(setup, environment, stack)
        except OomctlError as error:
            if outcome is None:
                raise
            outcome = replace(outcome, failure=outcome.failure or error)
        done = replace(outcome, took_ns=time.monotonic_ns() - began)
        return replace(done, checks=check_outcome(plan, done))

    def _task_work_for(self, plan: Plan) -> TaskWorkProgram | None:
        """Return the program for calls in task work, loaded at the first need of it."""
        if all(step.call.context != Context.TASK_WORK for step in plan.steps):
            return None
        if self._task_work is None:
            with signals_blocked():
                self._task_work = self._stack.enter_context(TaskWorkProgram())
        return self._task_work

    def _round(self, setup: RoundSetup, environment: Environment, stack: ExitStack) -> Outcome:
        """Return the outcome of a round; its hogs end with `stack`."""
        plan = setup.plan
        watch = stack.enter_context(PidfdWatch())
        state = TargetState(plan, self._root)
        events, events_local = ({}, {}) if plan.top in setup.fresh else state.events()
        history = History(self._sources, watched(self._root, plan.top))
        console.progress(f"filling {counted(len(plan.hogs), 'hog')}")
        undo = stack.enter_context(ExitStack())  # once the hogs have ended
        actions = ActionRunner(plan, self._root, self.journal, history, watch, undo)
        actions.hog_set = hog_set = HogSet(
            *(plan.hogs, self._root, watch, plan.timeout, plan.keep, history.took),
            late=plan.late,
            tick=partial(_tick, actions, history, watch) if plan.actions else None,
            fresh=setup.fresh,
        )
        stack.enter_context(hog_set)
        history.update()
        filled_ns = time.monotonic_ns()
        actions.filled()
        if actions.failure:
            raise actions.failure
        if setup.ready:
            setup.ready(hog_set.runners)
        before = state.snapshot(hog_set.runners)
        for task in before.tasks:
            if task.pid not in before.hogs:
                watch.add(task.pid)
        if plan.system_wide and self._confirm:
            self._ask(setup, self._confirm)
        if not actions.reports:  # they may have killed
            hog_set.require_alive()
        sampler = stack.enter_context(Sampler(state.top))
        runner = RoundRunner(setup, state, before, history, watch, sampler, actions)
        calls = runner.run()
        before = runner.before
        others = kills_beside(history, calls, state, before, watch.deaths)
        beside = watch.watched()
        for kill in others:
            if kill.pid not in beside:
                watch.add(kill.pid, gone_ns=kill.at_ns + (kill.exited_after_ns or 0))
        watch.wait(lambda: watch.deaths.keys() >= {kill.pid for kill in others}, plan.timeout)
        tasks = tuple(
            fates(
                known_tasks(before, hog_set.runners),
                stranger=lambda task: report_of(task, before),
                find=before.find,
                reports=calls,
                others=others,
                deaths=watch.deaths,
                filled_ns=filled_ns,
                sent=actions.sent,
            )
        )
        killed = [f"{one.task.comm} (pid {one.task.pid})" for one in tasks if one.kill]
        events_after, local_after = state.events()
        return Outcome(
            environment=environment,
            calls=calls,
            tasks=tasks,
            events=rises(events, events_after),
            events_local=rises(events_local, local_after),
            memory_before=before.memory,
            memory_after=state.memory(),
            log_lost=history.lost,
            verdict=overall([call.verdict for call in calls], killed),
            notes=tuple(_notes(plan, state, actions, calls)),
            samples=tuple(sampler.samples),
            top=plan.top,
            dying=state.dying(),
            own_rss=self._own.memory_info().rss,
            failure=runner.failure,
            actions=tuple(actions.reports),
            counts=history.counts(silent=any(call.evidence.silent for call in calls)),
        )

    def _ask(self, setup: RoundSetup, confirm: Callable[[Ranking], None]) -> None:
        """Let `confirm` agree to system-wide calls, once for the session."""
        candidates = read_candidates(None, self._root)
        first = next(step for step in setup.plan.steps if step.call.target is None)
        safety.check_candidates(first.call, first.callers, candidates, setup.protected)
        with signals_unblocked():
            confirm(rank(candidates.tasks, candidates.totalpages, candidates.page_size))
        self._confirm = None


def _tick(actions: ActionRunner, history: History, watch: PidfdWatch) -> None:
    """Make what is due while hogs fill."""
    watch.poll()
    if actions.awaits_marks:
        history.update()
    actions.make_due()


def _notes(
    plan: Plan, state: TargetState, actions: ActionRunner, calls: Sequence[CallReport]
) -> Iterator[str]:
    for number, call in enumerate(calls, 1):
        if call.disturbed:
            yield f"call {number} is not predicted: a step changed the choice during it"
    for action in actions.left:
        text = f"{action_text(action, plan.top)}, after {after_text(action.after)}"
        yield f"step {action.step + 1} was not made: {text}"
    if state.gone:
        yield (
            f"{plan.top} was removed during the run: its memory and its counters could not be "
            "read after that"
        )
