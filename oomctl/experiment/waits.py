"""The waits of one round: for the log, for victims and their memory, for actions that are due."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from oomctl import console
from oomctl.cgroup.usage import Sampler
from oomctl.experiment.actions import ActionRunner
from oomctl.experiment.history import History, Position
from oomctl.experiment.roundsetup import RoundSetup
from oomctl.experiment.sources import Batch
from oomctl.experiment.target import TargetState
from oomctl.oom.attribution import SYSRQ_ORDER, CallObservation, PostRun, killed_by
from oomctl.oom.enums import Moment, Until
from oomctl.oom.event import EventKind
from oomctl.oom.kill import OomKill
from oomctl.oom.plan import Step
from oomctl.oom.timeline import Stamp
from oomctl.proc.pidfd import PidfdWatch

_DAY = 86_400.0
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
class Waits:
    """Waits for what follows the calls of a round; takes samples and makes actions that are due."""

    setup: RoundSetup
    target_state: TargetState
    history: History
    watch: PidfdWatch
    sampler: Sampler
    actions: ActionRunner

    def before_calls(self) -> None:
        """Take the samples that a chart needs before the first call."""
        if self.setup.drawn and self.setup.plan.steps:
            self.pause(_SAMPLES_BEFORE)

    def await_sysrq(self, since: Position) -> None:
        """Wait for the worker that serves sysrq: the write itself returns at once."""
        deadline = time.monotonic() + _SYSRQ_TIMEOUT
        while not _served(self.history.since(since)) and time.monotonic() < deadline:
            self.pause(0.02)

    def await_log(self, since: Position) -> Batch:
        """Wait for the log's lines of the traced victims; return the evidence from `since` on.

        A CPU that stands still while it makes a record holds back all later ones
        (kernel/printk/printk_ringbuffer.c, _prb_read_valid()), as that of a virtual machine may.
        """
        deadline = time.monotonic() + _LOG_TIMEOUT
        while (batch := self.history.since(since)).is_unlogged and time.monotonic() < deadline:
            self.pause(0.02)
        return batch

    def settle(
        self, turn: list[CallObservation], step: Step, after: PostRun
    ) -> list[CallObservation]:
        """Wait until the victims of a turn have exited, or until their memory is free.

        Returns the turn with the moments seen; `after` tells the victims.
        """
        timeout = self.setup.plan.timeout
        self.sampler.sample()
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
            self.pause(_SAMPLES_AFTER)
        rest = {pid for one in turn for pid in _spared_members(one, kills)} & self.watch.watched()
        self.watch.wait(lambda: rest <= self.watch.deaths.keys(), _GROUP_TIMEOUT, self._tick)
        self.sampler.sample()
        return [replace(one, later=tuple(self._moments(one))) for one in turn]

    def _await_memory(self, goal: float) -> None:
        """Take samples until the usage of the target is that low; not for long."""
        self.watch.wait(
            lambda: (self.target_state.memory() or 0) <= goal, _BACK_TIMEOUT, self._tick
        )

    def pause(self, seconds: float) -> None:
        """Take samples and note deaths for some time."""
        self.watch.wait(lambda: False, seconds, self._tick)

    def _tick(self) -> None:
        self.sampler.sample()
        if self.actions.awaits_marks:
            self.history.update()
        self.actions.make_due()

    def await_actions(self) -> None:
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

        self.watch.wait(is_over, _DAY, self._tick)

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


def _spared_members(one: CallObservation, kills: Mapping[int, OomKill]) -> set[int]:
    """Return the members of the killed groups that are not among the kills."""
    groups = {kill.group for kill in kills.values() if kill.group}
    found = {pid for each in groups if one.candidates for pid in one.candidates.members(each)}
    return found - kills.keys() - one.taken


def _served(batch: Batch) -> bool:
    if batch.logged or batch.log.found_no_killable or batch.log.refused_sysrq:
        return True
    return any(e.kind is EventKind.OOM_END and e.order == SYSRQ_ORDER for e in batch.events)
