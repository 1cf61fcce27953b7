"""The variants of a run side by side: a row for what is compared, a column for each. Pure."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from oomctl.describe.sentences import Table
from oomctl.report import cells
from oomctl.rounds.round import BY_THE_KERNEL, TIMES
from oomctl.rounds.statistics import NEVER, Statistics
from oomctl.text import printable

Row = tuple[str, list[str]]

_LONGEST = 18  # characters of a label that is a header; longer ones get a letter
_NAME = 40  # characters of an expectation, beside its numbers
_DIED = dict.fromkeys(BY_THE_KERNEL, "died ")
_COUNTERS = ("max", "oom", "oom_kill", "oom_group_kill")


def headers(statistics: Sequence[Statistics]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a header for each variant, and a legend of letters where labels are too long."""
    labels = [printable(one.variant) or "-" for one in statistics]
    if max(map(len, labels)) <= _LONGEST:
        return labels, []
    letters = [_letter(number) for number in range(len(labels))]
    return letters, list(zip(letters, labels, strict=True))


def table(statistics: Sequence[Statistics], columns: Sequence[str]) -> Table:
    """Return the table; what did not come in any variant has no row."""
    found = [[label, *texts] for label, texts in rows(statistics)]
    return Table(["", *columns], found, frozenset(columns))


def rows(statistics: Sequence[Statistics]) -> Iterator[Row]:
    """Yield the rows: rounds, who died, what was returned, how fast, which counters moved."""
    yield "rounds", [str(one.rounds) for one in statistics]
    if any(one.held is not None for one in statistics):
        yield "as expected", [_held(one) for one in statistics]
    for name in _union((check.name for check in one.checks) for one in statistics):
        held = [_check_held(one, name) for one in statistics]
        yield textwrap.fill(f"held: {printable(name)}", _NAME), held
    for verdict in _union(one.verdicts for one in statistics):
        yield (
            f"verdict {printable(verdict)}",
            [cells.share(one.verdicts.get(verdict, 0), one.rounds) for one in statistics],
        )
    for casualty in dict.fromkeys(each for one in statistics for each in one.casualties):
        rounds = [one.casualties.get(casualty, NEVER).rounds for one in statistics]
        of = [one.ran for one in statistics]
        yield (
            f"{_DIED.get(casualty.how, '')}{cells.casualty(casualty)}",
            list(map(cells.share, rounds, of)),
        )
    yield from _returned(statistics)
    for kind in _union(one.contention for one in statistics):
        found = [one.contention.get(kind) for one in statistics]
        yield f"EBUSY, {kind}", [cells.share(f.count, f.of) if f else "-" for f in found]
    if any(one.rechecks.callers for one in statistics):
        spared = [(one.rechecks.spared, one.rechecks.callers) for one in statistics]
        yield "spared by recheck", [cells.share(*each) for each in spared]
    for name in TIMES:
        if any(name in one.times for one in statistics):
            yield f"{name}, p50", [cells.median(one.times, name) for one in statistics]
    counters = _union(one.rises for one in statistics)
    for counter in (*_COUNTERS, *(each for each in counters if each not in _COUNTERS)):
        if any(one.rises.get(counter) for one in statistics) or (
            counter in _COUNTERS[:3] and counter in counters
        ):
            rises = [cells.a_round(one.rises.get(counter, 0), one.ran) for one in statistics]
            yield f"{printable(counter)}, a round", rises
    if any(one.log_bytes.max for one in statistics):
        yield "log bytes, p50", [_text(one.log_bytes.p50) for one in statistics]
    if any(one.dying for one in statistics):
        yield "dying cgroups", [cells.first_and_last(one.dying) for one in statistics]


def _returned(statistics: Sequence[Statistics]) -> Iterator[Row]:
    for value in _union(one.returns for one in statistics):
        counts = [one.returns.get(value, NEVER).times for one in statistics]
        of = [one.calls for one in statistics]
        yield f"returned {printable(value)}", list(map(cells.share, counts, of))


def _held(one: Statistics) -> str:
    return "-" if one.held is None else cells.share(one.held, one.rounds)


def _check_held(one: Statistics, name: str) -> str:
    held = (check.held for check in one.checks if check.name == name)
    return next((cells.share(count, one.rounds) for count in held), "-")


def _text(number: int | None) -> str:
    return "-" if number is None else str(number)


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _letter(number: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    above, place = divmod(number, 26)
    return (_letter(above - 1) if above else "") + chr(ord("A") + place)
