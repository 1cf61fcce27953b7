"""A run: one scenario, its variants, their statistics, and how it ended. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oomctl.errors import Exit
from oomctl.rounds.statistics import Statistics

Why = Literal["done", "differs", "interrupted", "unsupported", "failed"]


@dataclass(frozen=True)
class VariantRecord:
    """A variant as its record tells of it: `steps` are the calls as plain values."""

    label: str
    overrides: tuple[str, ...] = ()
    via: str | None = None
    judged: bool = False
    steps: tuple[Mapping[str, Any], ...] = ()

    @property
    def rechecking(self) -> frozenset[int]:
        """The indices of the steps whose callers recheck instead of waiting."""
        return frozenset(
            index
            for index, step in enumerate(self.steps)
            if step["recheck_above_bytes"] is not None
        )


@dataclass(frozen=True)
class RunHeader:
    """What is known of a run beforehand; `environment` and `options` as JSON has them.

    `started` is local time in ISO 8601, `source` the text of the scenario file.
    """

    scenario: str
    description: str
    source: str
    ways: tuple[VariantRecord, ...]
    options: Mapping[str, Any]
    environment: Mapping[str, Any]
    started: str


@dataclass(frozen=True)
class End:
    """Why a run ended, in a word and in a sentence."""

    why: Why
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """A run with its statistics, a variant each; `end` is None where the record stops before it."""

    head: RunHeader
    statistics: tuple[Statistics, ...]
    end: End | None = None
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether all that was expected held; None where nothing was expected."""
        judged = [one.passed for one in self.statistics if one.passed is not None]
        return all(judged) if judged else None

    @property
    def ran(self) -> bool:
        """Whether any round has an outcome."""
        return any(one.ran for one in self.statistics)


@dataclass(frozen=True)
class Section:
    """A run and its lines of the record, as they stand there, each without its newline."""

    run: Run
    lines: Callable[[], Iterable[str]] = field(default=tuple)


def exit_of(runs: Iterable[Run]) -> Exit:
    """Return the exit code: what did not hold, or differed, counts more than what could not be."""
    runs = list(runs)
    if any(run.passed is False or (run.end and run.end.why == "differs") for run in runs):
        return Exit.NOT_AS_WANTED
    return Exit.OK if all(run.ran for run in runs) else Exit.UNSUPPORTED
