"""Times of many rounds as histograms and as empirical distributions, several over each other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isqrt, log10

from oomctl.report import page, plot
from oomctl.report.page import escape
from oomctl.rounds.round import TIMES
from oomctl.rounds.statistics import Statistics
from oomctl.units import format_duration

_BINS, _FEWEST_BINS = 40, 8
_MOST_LABELLED = 2  # distributions in a plot whose percentiles have labels
_WIDE = 20  # times whose largest is so many times the smallest are drawn on a logarithmic axis

MEANINGS = {
    "lock_wait": "from the call until oom_lock is held",
    "in_the_call": "inside the call",
    "to_marked": "from the call until the victim is marked",
    "to_killed": "from the call until SIGKILL is sent",
    "dying": "from SIGKILL until the victim has given up its memory",
    "to_exited": "from the call until the victim has given up its memory",
    "to_relieved": "from the call until memory.current falls",
}


def distributions(
    named: Mapping[str, Mapping[str, Sequence[int]]], statistics: Iterable[Statistics]
) -> Iterator[str]:
    """Yield two plots for each time: where the rounds lie, and which share is below a time.

    `named` has the times of rounds in ns, by what they are of; `statistics` belong to them.
    """
    colour = plot.colours(named)
    yield page.key(page.Swatch(f"line c{number}", name) for name, number in colour.items())
    figures = dict(zip(named, statistics, strict=True))
    for name in TIMES:
        found = {of: sorted(times[name]) for of, times in named.items() if times.get(name)}
        if not found:
            continue
        yield f'<h3>{name} <span class="dim">{MEANINGS[name]}</span></h3>'
        for of in found:
            yield f"<p>{escape(_figures(of, figures[of], name, len(named) > 1))}</p>"
        both = _histogram(name, found, colour) + _ecdf(name, found, colour, figures)
        yield f'<div class="plots">{both}</div>'


def _figures(of: str, one: Statistics, name: str, several: bool) -> str:
    known = {**_percentiles(one, name), "max": one.times[name].max}
    text = ", ".join(f"{p} {format_duration(at)}" for p, at in known.items() if at is not None)
    return f"{of}: {text}" if several else text


def _percentiles(one: Statistics, name: str) -> dict[str, int | None]:
    times = one.times[name]
    return {"p50": times.p50, "p95": times.p95, "p99": times.p99}


def _axis(found: Mapping[str, Sequence[int]]) -> tuple[plot.Scale, list[tuple[float, str]]]:
    low = float(max(min(times[0] for times in found.values()), 1))
    high = float(max(times[-1] for times in found.values()))
    high = max(high, low * 1.02)
    if high > _WIDE * low:
        return plot.Scale(low, high, True), plot.log_ticks(low, high)
    pad = (high - low) * 0.03
    return plot.Scale(low - pad, high + pad), plot.time_ticks(low - pad, high + pad, 3)


def _histogram(name: str, found: Mapping[str, Sequence[int]], colour: Mapping[str, int]) -> str:
    x, ticks = _axis(found)
    curves, most = [], 1
    bins = min(max(2 * isqrt(max(map(len, found.values()))), _FEWEST_BINS), _BINS)
    for of, times in found.items():
        counts = Counter(min(int(x.share(at) * bins), bins - 1) for at in times)
        most = max(most, *counts.values())
        points = []
        for index in range(bins):
            for edge in (index, index + 1):
                points.append((_value(x, edge / bins), float(counts[index])))
        curves.append(plot.Curve(points, colour[of], "area"))
    return plot.Plot(
        title=f"histogram of {name}",
        x=x,
        y=plot.Scale(0, most * 1.05),
        curves=curves,
        x_ticks=ticks,
        y_ticks=[(0, "0"), (most, f"{most} rounds" if most != 1 else "1 round")],
        height=120,
    ).html()


def _ecdf(
    name: str,
    found: Mapping[str, Sequence[int]],
    colour: Mapping[str, int],
    figures: Mapping[str, Statistics],
) -> str:
    """Draw the share of rounds up to each time; p50, p95 and p99 are marked."""
    x, ticks = _axis(found)
    curves, marks = [], []
    for number, (of, times) in enumerate(found.items()):
        points = [(x.low, 0.0)]
        for rank, at in enumerate(times, 1):
            points += [(float(at), (rank - 1) / len(times)), (float(at), rank / len(times))]
        kind = "dashed" if number % 2 else "line"  # a line below it is seen, if they are equal
        curves.append(plot.Curve([*points, (x.high, 1.0)], colour[of], kind))
        known = _percentiles(figures[of], name)
        for row, (label, time) in enumerate(known.items(), number * len(known)):
            if time is not None:
                shown = label if len(found) <= _MOST_LABELLED else ""
                marks.append(plot.Mark(time, int(label[1:]) / 100, colour[of], shown, row))
    return plot.Plot(
        title=f"distribution of {name}",
        x=x,
        y=plot.Scale(0, 1.03),
        curves=curves,
        x_ticks=ticks,
        y_ticks=[(0.0, "0"), (0.5, "50 %"), (0.95, "95 %")],
        marks=marks,
        height=120,
    ).html()


def _value(x: plot.Scale, share: float) -> float:
    if x.is_log:
        low, high = log10(x.low), log10(x.high)
        return float(10 ** (low + share * (high - low)))
    return x.low + share * (x.high - x.low)
