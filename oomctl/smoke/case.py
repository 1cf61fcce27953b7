"""A case of the suite: what it checks about the kernel, what it needs, and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oomctl.oom.outcome import Check
from oomctl.smoke import facts
from oomctl.smoke.facts import Facts, Need

if TYPE_CHECKING:
    from oomctl.smoke.runner import CaseRunner


@dataclass(frozen=True)
class Case:
    """One property of the kfunc: `group.name`, the property in words, and the run that checks it.

    `panics` is the message of the kernel's panic, if the case should cause one.
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

    def lacks(self, known: Facts) -> str:
        """Say why it cannot be run on such a machine; empty if it can."""
        needs = (facts.kfunc, facts.kfunc_variant, facts.no_panic, *self.needs)
        return next(filter(None, (need(known) for need in needs)), "")


@dataclass(frozen=True)
class Result:
    """The result of a case: passed, failed, or None if it was skipped, with the `reason`.

    `checks` and `evidence` are those of the first round that failed, else of the last. Of `rounds`
    rounds `good` passed; `took_ns` is the time of all of them.
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
        """The reason why it was skipped, or the first check that failed."""
        return self.reason or next((f"expected {c.name}; actual: {c.why}" for c in self.failed), "")

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """The checks that failed, and the evidence; nothing unless the case failed."""
        if self.passed is not False:
            return ()
        lines = [line for c in self.failed for line in (f"expected: {c.name}", f"actual: {c.why}")]
        if self.rounds > 1:
            lines.append(f"rounds: {self.good} of {self.rounds} passed")
        return (*lines, *self.evidence, f"to repeat it: oomctl smoke {self.name}")

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed, and those that could not be made."""
        return tuple(check for check in self.checks if not check.passed)
