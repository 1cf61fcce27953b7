"""Carries out plans: a session outlives its rounds; tree, hogs and RoundRunner belong to one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Self

import psutil

from oomctl import console
from oomctl.bpf.btf import Kfunc
from oomctl.bpf.declare import DeclareProgram
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.parent import in_leaf_cgroup
from oomctl.cgroup.tree import Tree
from oomctl.cgroup.usage import Sampler
from oomctl.errors import OomctlError
from oomctl.experiment import cleanup
from oomctl.experiment.candidates import read_candidates
from oomctl.experiment.environment import SYSCTLS, protected, read_environment
from oomctl.experiment.participants import fated, kills_beside, known
from oomctl.experiment.setting import sysctl_changed
from oomctl.experiment.sources import History, OomSources
from oomctl.experiment.steps import RoundRunner
from oomctl.experiment.target import TargetState, rises
from oomctl.hog.hogset import HogSet, RunningHog
from oomctl.journal.file import Journal
from oomctl.oom import safety
from oomctl.oom.as_text import task_name
from oomctl.oom.expectation import check_outcome
from oomctl.oom.fates import fates
from oomctl.oom.outcome import Outcome
from oomctl.oom.plan import Plan, Step
from oomctl.oom.task import ProtectedTask, Task, rank
from oomctl.oom.verdict import overall
from oomctl.proc import procfs
from oomctl.proc.pidfd import PidfdWatch
from oomctl.signals import signals_blocked, signals_unblocked
from oomctl.text import counted

Ranking = Sequence[tuple[int, Task]]


class Session:
    """What is set up once for any number of rounds: protection, BPF programs, sources.

    `confirm` is given the machine's ranking, the first to die first, before the first system-wide
    declaration, and raises to stop it. `parent_cgroup` is the cgroup that trees are made in, if not
    the root; oomctl leaves it for that time. Leftovers of a killed oomctl are cleaned up first.
    """

    journal: Journal

    def __init__(
        self,
        root: UnifiedNode,
        kfunc: Kfunc,
        confirm: Callable[[Ranking], None],
        parent_cgroup: UnifiedNode | None = None,
    ) -> None:
        self._root = root
        self._parent_cgroup = parent_cgroup
        self._kfunc = kfunc
        self._confirm = confirm
        self._confirmed = False
        self._standing: list[Plan] = []
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
            self._program = stack.enter_context(DeclareProgram())
            self._witness = stack.enter_context(OomSources())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        """Take everything down; ending signals that came meanwhile are raised after it."""
        self._stack.close()

    @contextmanager
    def keep_tree(self, plan: Plan) -> Iterator[None]:
        """Keep the plan's tree for all rounds in the block, which then bring only fresh hogs."""
        with Tree(self._root, plan, self.journal):
            self._standing.append(plan)
            try:
                yield
            finally:
                self._standing.remove(plan)

    @property
    def program(self) -> DeclareProgram:
        """The loaded program."""
        return self._program

    def run(
        self,
        plan: Plan,
        ready: Callable[[Sequence[RunningHog]], object] = len,
        around: Callable[[Step], AbstractContextManager[object]] = nullcontext,
    ) -> Outcome:
        """Carry out one round of a plan; everything made for it is gone again afterwards.

        `ready` is given the hogs once they hold their memory, before anybody looks at them;
        `around` is entered just before the callers of a step are started, and left once they are
        back. Raises the errors of the stages it runs through, but once a call was made, or hogs
        were filled without one, there is an outcome, and what fails then is its `failure`.
        """
        family = procfs.protected_tasks()
        targets = {plan.top, *(step.call.target for step in plan.steps)} - {None}
        safety.check_targets(map(str, targets), family)
        found = procfs.sysctls(SYSCTLS)
        for step in plan.steps:
            adj = self.environment.oom_score_adj
            safety.check_sysctls(step.call, found, adj, plan.sysctls)
        began = time.monotonic_ns()
        outcome: Outcome | None = None
        try:
            with ExitStack() as stack:
                for one in plan.sysctls:
                    stack.enter_context(sysctl_changed(one, self.journal))
                environment = replace(self.environment, sysctls=procfs.sysctls(SYSCTLS))
                if all(plan is not each for each in self._standing):
                    stack.enter_context(Tree(self._root, plan, self.journal))
                outcome = self._round(plan, stack, family, ready, around)
                outcome = replace(outcome, environment=environment)
        except OomctlError as error:
            if outcome is None:
                raise
            outcome = replace(outcome, failure=outcome.failure or error)
        done = replace(outcome, took_ns=time.monotonic_ns() - began)
        return replace(done, checks=check_outcome(plan, done))

    def _round(
        self,
        plan: Plan,
        stack: ExitStack,
        family: Sequence[ProtectedTask],
        ready: Callable[[Sequence[RunningHog]], object],
        around: Callable[[Step], AbstractContextManager[object]],
    ) -> Outcome:
        """Return the outcome of a round; its hogs end with `stack`."""
        watch = stack.enter_context(PidfdWatch())
        target_state = TargetState(plan, self._root)
        counters, local = target_state.events(), target_state.events_local()
        history = History(self._witness)
        console.progress(f"filling {counted(len(plan.hogs), 'hog')}")
        hog_set = stack.enter_context(
            HogSet(plan.hogs, self._root, watch, plan.timeout, plan.keep, _taker(history))
        )
        history.update()
        filled_ns = time.monotonic_ns()
        ready(hog_set.runners)
        before = target_state.snapshot(hog_set.runners)
        for task in before.tasks:
            if task.pid not in before.hogs:
                watch.add(task.pid)
        if plan.system_wide and not self._confirmed:
            self._ask(plan, family)
        hog_set.require_alive()
        sampler = stack.enter_context(Sampler(target_state.top))
        trial = RoundRunner(
            plan,
            self._root,
            target_state,
            before,
            self._program,
            history,
            watch,
            self.journal,
            sampler,
            family,
            around,
        )
        declared = trial.run()
        others = kills_beside(history, declared, target_state, before, watch.deaths)
        for kill in others:
            if kill.pid not in watch.watched():
                watch.add(kill.pid, gone_ns=kill.at_ns + (kill.exited_after_ns or 0))
        watch.wait(lambda: watch.deaths.keys() >= {kill.pid for kill in others}, plan.timeout)
        tasks = tuple(
            fates(
                known(before, hog_set.runners),
                lambda task: fated(task, before),
                before.find,
                declared,
                others,
                watch.deaths,
                filled_ns,
            )
        )
        killed = [task_name(one.task.comm, one.task.pid) for one in tasks if one.kill]
        return Outcome(
            environment=self.environment,
            calls=declared,
            tasks=tasks,
            events=rises(counters, target_state.events()),
            events_local=rises(local, target_state.events_local()),
            memory_before=before.memory,
            memory_after=target_state.memory(),
            log_lost=history.lost,
            verdict=overall([one.verdict for one in declared], killed),
            notes=tuple(_notes(plan, target_state)),
            samples=tuple(sampler.samples),
            top=plan.top,
            dying=target_state.dying(),
            own_rss=psutil.Process().memory_info().rss,
            failure=trial.failure,
        )

    def _ask(self, plan: Plan, family: Sequence[ProtectedTask]) -> None:
        lineup = read_candidates(None, self._root)
        first = next(step for step in plan.steps if step.call.target is None)
        safety.check_candidates(first.call, first.callers, lineup, family)
        with signals_unblocked():
            self._confirm(rank(lineup.tasks, lineup.totalpages, lineup.page_size))
        self._confirmed = True


def _taker(history: History) -> Callable[[int], bool]:
    """Return a function that tells whether the OOM killer has taken a PID in this round."""

    def took(pid: int) -> bool:
        history.update()
        return pid in history.taken

    return took


def _notes(plan: Plan, target_state: TargetState) -> Iterator[str]:
    if target_state.gone:
        yield (
            f"{plan.top} was removed during the run: its memory and its counters could not be "
            "read after that"
        )
