"""A run: one scenario, its variants, their statistics, and how it ended. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oomctl.errors import Exit
from oomctl.rounds.statistics import Statistics

Why = Literal["done", "differs", "interrupted", "unsupported", "failed"]


@dataclass(frozen=True)
class VariantRecord:
    """A variant in a record; `steps` are the steps of its plan as plain values."""

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
    """What is known of a run before its first round; the fields have the order of the JSON.

    `source` is the text of the scenario file, `started` local time in ISO 8601.
    """

    scenario: str
    description: str
    source: str
    variants: tuple[VariantRecord, ...]
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
    """A run with the statistics of each variant; `end` is None if the record stops before it."""

    header: RunHeader
    statistics: tuple[Statistics, ...]
    end: End | None = None
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether every expectation held; None if there was none."""
        judged = [one.passed for one in self.statistics if one.passed is not None]
        return all(judged) if judged else None

    @property
    def ran(self) -> bool:
        """Whether any round has an outcome."""
        return any(one.ran for one in self.statistics)


@dataclass(frozen=True)
class Section:
    """A run and its lines of the record as they are in the file, each without its newline."""

    run: Run
    lines: Callable[[], Iterable[str]] = field(default=tuple)


def exit_of(runs: Iterable[Run]) -> Exit:
    """Return the exit code; a failed expectation or a difference outranks a run without outcome."""
    runs = list(runs)
    if any(run.passed is False or (run.end and run.end.why == "differs") for run in runs):
        return Exit.NOT_AS_WANTED
    return Exit.OK if all(run.ran for run in runs) else Exit.UNSUPPORTED
