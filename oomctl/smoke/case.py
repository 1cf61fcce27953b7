"""A case of the suite: what it asks of the kernel, what it needs for that, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oomctl.oom.check import Check
from oomctl.smoke import facts
from oomctl.smoke.facts import Facts, Need

if TYPE_CHECKING:
    from oomctl.smoke.runner import CaseRunner


@dataclass(frozen=True)
class Case:
    """One question to the kernel: `group.name`, what should be so, and the run that finds out.

    `panics` is what the kernel says when it goes down, where it should.
    """

    name: str
    about: str
    run: Callable[[CaseRunner], Iterable[Check]]
    needs: Sequence[Need] = ()
    panics: str = ""

    @property
    def group(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The part of the name after the dot."""
        return self.name.partition(".")[2]

    @property
    def deadly(self) -> bool:
        """Whether it may take the machine down."""
        return facts.disposable in self.needs

    def lacks(self, facts_: Facts) -> str:
        """Say why it cannot be run on such a machine; empty where it can."""
        reasons = (need(facts_) for need in (facts.kfunc, facts.no_panic, *self.needs))
        return next(filter(None, reasons), "")


@dataclass(frozen=True)
class Result:
    """What came of a case: passed, failed, or None with the reason why it was skipped.

    `checks` are those of the first round that failed, else of the last; `evidence` are lines of
    that round. `rounds` were run, and `good` of them passed. `took_ns` is the time of them all.
    """

    name: str
    passed: bool | None
    reason: str = ""
    checks: tuple[Check, ...] = ()
    evidence: tuple[str, ...] = ()
    rounds: int = 1
    good: int = 0
    took_ns: int = 0

    @property
    def word(self) -> str:
        """The result in a word."""
        return {True: "passed", False: "failed", None: "skipped"}[self.passed]

    @property
    def why(self) -> str:
        """The reason why it was skipped, or the first thing that came otherwise."""
        first = next((f"expected {c.name}; {c.why}" for c in self.failed), "")
        return self.reason or first

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """What was expected and came otherwise, and the evidence; nothing where it passed."""
        if self.passed is not False:
            return ()
        lines = [line for c in self.failed for line in (f"expected: {c.name}", f"came: {c.why}")]
        if self.rounds > 1:
            lines.append(f"rounds: {self.good} of {self.rounds} passed")
        return (*lines, *self.evidence, f"to repeat it: oomctl smoke {self.name}")

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not hold; one that could not be made did not."""
        return tuple(check for check in self.checks if not check.passed)
