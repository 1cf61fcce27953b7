"""Cells that tables of many rounds share: shares, intervals, rises. Pure."""

from collections.abc import Mapping

from oomctl.rounds.round import Casualty
from oomctl.rounds.run import Run
from oomctl.rounds.statistics import Distribution, Statistics, wilson
from oomctl.text import printable
from oomctl.units import format_duration, format_size


def share(count: int, of: int) -> str:
    """Render so many of so many."""
    return f"{count}/{of}" if of else "-"


def percent(count: int, of: int) -> str:
    """Render a share in percent; 0 % and 100 % are said only of none and of all."""
    if not of:
        return "-"
    value = 100 * count / of
    if 0 < count < of:
        value = min(max(value, 0.1), 99.9)
    return f"{value:.1f} %"


def interval(count: int, of: int) -> str:
    """Render the 95 % interval of a share (Wilson)."""
    low, high = wilson(count, of)
    return f"{100 * low:.1f} to {100 * high:.1f} %" if of else "-"


def casualty(one: Casualty) -> str:
    """Name a task that did not survive, and how where it was not just killed."""
    return printable(one.name if one.how == "killed" else f"{one.name} ({one.how})")


def a_round(rise: int, rounds: int) -> str:
    """Render by how much a counter rose in a round: exactly, or to two decimals."""
    if not rounds or not rise:
        return "0"
    return f"{rise // rounds:+d}" if rise % rounds == 0 else f"{rise / rounds:+.2f}"


def median(times: Mapping[str, Distribution], name: str) -> str:
    """Render the median of a time."""
    return format_duration(times[name].p50) if name in times else "-"


def rate(one: Statistics) -> str:
    """Say how many rounds there were, in what time."""
    if one.rate is None:
        return f"{one.rounds}"
    return f"{one.rounds} in {format_duration(one.took_ns)}, {one.rate:.3g} a second"


def first_and_last(span: tuple[int, int] | None, size: bool = False) -> str:
    """Render what was seen in the first round and in the last."""
    if span is None:
        return "-"
    first, last = (format_size(each) if size else str(each) for each in span)
    return f"{first} -> {last}"


def title(run: Run, one: Statistics) -> str:
    """Name a variant of a scenario."""
    return printable(
        f"{run.header.scenario}: {one.variant}" if one.variant else run.header.scenario
    )
