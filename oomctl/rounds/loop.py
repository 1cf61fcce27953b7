"""Runs the rounds of a scenario, its variants in turn, and hands on the line of each round."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from oomctl.errors import OomctlError
from oomctl.experiment.session import Session
from oomctl.hog.hogset import NotFilledError
from oomctl.oom.outcome import Outcome
from oomctl.oom.plan import Plan
from oomctl.rounds.drawn import Drawn
from oomctl.rounds.lines import round_line, summary_line
from oomctl.rounds.round import FAILED, NOT_FILLED, Round, round_of
from oomctl.rounds.run import End
from oomctl.rounds.statistics import Statistics, Tally
from oomctl.rounds.variant import PlannedVariant
from oomctl.signals import signals_unblocked


@dataclass(frozen=True)
class Limits:
    """When a run ends: after `rounds` of each variant or after `seconds`, whichever is first.

    The run ends between turns only, so that every variant has the same number of rounds. With
    `until_differs` it ends at the first round whose result differs from that of its variant's
    first round.
    """

    rounds: int | None = 1
    seconds: float | None = None
    until_differs: bool = False

    @property
    def single(self) -> bool:
        """Whether each variant has just one round."""
        return self.rounds == 1


@dataclass
class RoundLoop:
    """The rounds of one scenario; `write` gets the line of each, `done` the number of rounds.
    With `summary` a line has what statistics need of the outcome, instead of all.

    It keeps the tallies, the first round of each variant and the last outcome.
    """

    planned: Sequence[PlannedVariant]
    limits: Limits
    session: Session
    write: Callable[[Mapping[str, Any]], None]
    same_tree: bool = False
    summary: bool = False
    done: Callable[[int], None] | None = None
    clock: Callable[[], int] = time.monotonic_ns
    rounds: int = 0
    last: Outcome | None = None
    _tallies: list[Tally] = field(default_factory=list)
    _drawn: list[Drawn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tallies = [Tally(each.record.label, each.record.judged) for each in self.planned]
        self._drawn = [Drawn() for _ in self.planned]

    def statistics(self) -> tuple[Statistics, ...]:
        """Return the statistics of each variant so far."""
        return tuple(tally.statistics() for tally in self._tallies)

    def run(self) -> End:
        """Run until a limit is reached; raises what a round raises, after writing its line.

        If there are several rounds, one whose hogs could not be filled only lacks an outcome.
        """
        first: dict[int, Round] = {}
        with ExitStack() as stack:
            plans = [self._planner(each, stack) for each in self.planned]
            for number in self._numbers():
                for index, plan in enumerate(plans):
                    with signals_unblocked():
                        pass
                    one = self._round(index, number, plan)
                    difference = one.difference(first.setdefault(index, one))
                    if self.limits.until_differs and difference:
                        of = f" of {one.variant}" if one.variant else ""
                        return End("differs", f"round {number}{of}: {difference}")
        return End("done")

    def _planner(self, planned: PlannedVariant, stack: ExitStack) -> Callable[[], Plan]:
        if not self.same_tree:
            return planned.plan
        plan = planned.plan()
        stack.enter_context(self.session.keep_tree(plan))
        return lambda: plan

    def _numbers(self) -> Iterator[int]:
        began, number = self.clock(), 0
        while self.limits.rounds is None or number < self.limits.rounds:
            number += 1
            yield number
            seconds = self.limits.seconds
            if seconds is not None and self.clock() - began >= seconds * 1e9:
                return

    def _round(self, index: int, number: int, plan: Callable[[], Plan]) -> Round:
        variant, began = self.planned[index].record, self.clock()
        result: Outcome | tuple[str, str]
        raised: OomctlError | None = None
        try:
            result = self.last = self.session.run(plan())
            raised = result.failure
        except NotFilledError as error:
            result = NOT_FILLED, error.why
            raised = error if self.limits.single and len(self.planned) == 1 else None
        except OomctlError as error:
            result, raised = (FAILED, error.why), error
        took = self.clock() - began
        drawn = isinstance(result, Outcome) and self._drawn[index].takes(took, result)
        line = round_line(variant.label, number, took, result, drawn)
        if raised is None or self.rounds or isinstance(result, Outcome):
            one = round_of(line, variant.rechecking)
            self.write(summary_line(one) if self.summary else line)
            self._tallies[index].add(one)
            self.rounds += 1
            if self.done:
                self.done(self.rounds)
        if raised:
            raise raised
        return one
