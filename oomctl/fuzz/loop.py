"""Runs a hunt for some rounds or some time, and says how it went."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from oomctl.errors import Exit
from oomctl.fuzz.finding import Finding
from oomctl.fuzz.hunt import Hunt
from oomctl.oom.enums import Agreement
from oomctl.oom.outcome import Environment
from oomctl.signals import signals_unblocked

End = Literal["done", "enough", "interrupted", "failed"]
"""All rounds or all the time; so many findings that it stopped; a signal; an error of oomctl."""


@dataclass(frozen=True)
class FuzzReport:
    """What a hunt came to.

    `experiments` counts all of them, also those to confirm and shrink findings; `agreements` the
    rounds by their result, `repeated` the findings known before, by form. `coverage` has what kind,
    which, and how often.
    """

    environment: Environment
    seed: int
    seconds: float
    experiments: int
    agreements: dict[Agreement, int]
    findings: tuple[Finding, ...]
    repeated: dict[str, int]
    coverage: tuple[tuple[str, str, int], ...]
    end: End

    @property
    def rounds(self) -> int:
        """The rounds, each of a case of its own."""
        return sum(self.agreements.values())

    @property
    def rate(self) -> float:
        """Experiments a second."""
        return self.experiments / self.seconds if self.seconds else 0.0

    @property
    def exit(self) -> Exit:
        """The exit code: a new finding is not as wanted; without any outcome nothing is known."""
        if self.findings:
            return Exit.NOT_AS_WANTED
        compared = self.rounds - self.agreements.get(Agreement.NOT_FILLED, 0)
        return Exit.OK if compared else Exit.UNSUPPORTED


def fuzz_rounds(
    hunt: Hunt,
    rounds: int | None,
    seconds: float | None,
    show: Callable[[int], object],
    clock: Callable[[], float] = time.monotonic,
) -> End:
    """Run rounds until one of the limits is reached, or there are enough findings."""
    began, number = clock(), 0
    while rounds is None or number < rounds:
        with signals_unblocked():
            pass
        number += 1
        hunt.round(number)
        show(number)
        if hunt.is_over:
            return "enough"
        if seconds is not None and clock() - began >= seconds:
            break
    return "done"
