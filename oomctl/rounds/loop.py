"""Runs the rounds of a scenario, its variants in turn, and hands on the line of each."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from oomctl.errors import OomctlError
from oomctl.hog.hogset import NotFilledError
from oomctl.oom.outcome import Environment, Outcome
from oomctl.oom.plan import Plan
from oomctl.rounds.lines import round_line
from oomctl.rounds.round import FAILED, NOT_FILLED, Round, round_of
from oomctl.rounds.run import End, VariantRecord
from oomctl.rounds.statistics import Statistics, Tally
from oomctl.signals import signals_unblocked


class Session(Protocol):
    """What carries out a plan: `oomctl.experiment.session.Session`."""

    environment: Environment

    def run(self, plan: Plan) -> Outcome:
        """Carry out one round."""

    def keep_tree(self, plan: Plan) -> AbstractContextManager[None]:
        """Keep the plan's tree for all rounds in the block."""


@dataclass(frozen=True)
class Limits:
    """When a run is over: after so many rounds of each variant, or seconds, whichever is first.

    A round that has begun is finished, and so are those of the other variants, lest one of them
    has more. `until_differs` ends it at the first round that does not come to what the first of
    its variant came to.
    """

    rounds: int | None = 1
    seconds: float | None = None
    until_differs: bool = False

    @property
    def single(self) -> bool:
        """Whether each variant has just one round."""
        return self.rounds == 1


@dataclass(frozen=True)
class PlannedVariant:
    """A variant with what makes the plan of its next round: in a tree of its own each time."""

    way: VariantRecord
    plan: Callable[[], Plan]


@dataclass
class RoundLoop:
    """The rounds of one scenario; `write` gets the line of each as it happens.

    Of what happened it keeps the tallies, the first round of each variant and the last outcome.
    """

    planned: Sequence[PlannedVariant]
    limits: Limits
    session: Session
    write: Callable[[Mapping[str, Any]], None]
    done: Callable[[int], None]
    same_tree: bool = False
    clock: Callable[[], int] = time.monotonic_ns
    rounds: int = 0
    last: Outcome | None = None
    _tallies: list[Tally] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tallies = [Tally(each.way.label, each.way.judged) for each in self.planned]

    def statistics(self) -> tuple[Statistics, ...]:
        """Return what the rounds came to so far."""
        return tuple(tally.statistics() for tally in self._tallies)

    def run(self) -> End:
        """Run until the limits are reached; raises what a round raises, after writing its line.

        Of several rounds one whose hogs could not be filled is a round without an outcome.
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
        way, began = self.planned[index].way, self.clock()
        came: Outcome | tuple[str, str]
        raised: OomctlError | None = None
        try:
            came = self.last = self.session.run(plan())
            raised = came.failure
        except NotFilledError as error:
            came = NOT_FILLED, error.why
            raised = error if self.limits.single and len(self.planned) == 1 else None
        except OomctlError as error:
            came, raised = (FAILED, error.why), error
        line = round_line(way.label, number, self.clock() - began, came)
        if raised is None or self.rounds or isinstance(came, Outcome):
            self.write(line)
            one = round_of(line, way.rechecking)
            self._tallies[index].add(one)
            self.rounds += 1
            self.done(self.rounds)
        if raised:
            raise raised
        return one
