"""Memory over time with the moments of a call on the same axis, for the page of a declaration."""

from collections.abc import Iterator, Sequence

from oomctl.oom.enums import Moment
from oomctl.oom.outcome import CallReport, Outcome
from oomctl.oom.paths import relative
from oomctl.report import page, plot
from oomctl.text import counted

_BEFORE_NS, _AFTER = 50_000_000, 0.08  # before the call, and the share of the axis after the last
_BACK = 0.02  # of the fall: memory is back where it is this close to its last value
_MOST_LINES, _MOST_NAMES = 16, 2
_KILLING = (Moment.KILLED, Moment.EXITED, Moment.MARKED)


def memory_plot(outcome: Outcome, report: CallReport) -> Iterator[str]:
    """Draw memory from 50 ms before the call until it is back, with the moments below."""
    began, stamps = report.result.began_ns, report.timeline.stamps
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in outcome.samples:
        lines.setdefault(sample.cgroup, []).append((sample.at_ns - began, sample.bytes))
    if len(stamps) < 2 and not lines:
        return
    last = max([stamp.at_ns - began for stamp in stamps] + [report.result.duration_ns or 0])
    if outcome.top in lines:
        last = round(max(last, _back(lines[outcome.top], last)))
    start, end = float(-_BEFORE_NS), last + (last + _BEFORE_NS) * _AFTER
    shown = {name: points for name, points in _clipped(lines, start, end) if points}
    highest = max((size for points in shown.values() for _at, size in points), default=0)
    x, y = plot.Scale(start, end), plot.Scale(0, highest * 1.06 or 1)
    named = {name: relative(name, outcome.top) for name in [*shown][:_MOST_LINES]}
    labels = {".": f". ({outcome.top})"}
    colour = plot.colours(named.values())
    if named:
        yield page.key(
            page.Swatch(f"line c{colour[each]}", labels.get(each, each)) for each in named.values()
        )
        if left := len(shown) - len(named):
            yield f'<p class="dim">{counted(left, "more cgroup")} sampled, not drawn</p>'
    yield plot.Plot(
        title="memory.current of each cgroup over time",
        x=x,
        y=y,
        curves=[*_apart(shown, named, colour)],
        x_ticks=plot.time_ticks(start, end),
        y_ticks=plot.size_ticks(highest) if named else (),
        verticals=[*_verticals(report)],
        caption="time after the call",
        height=plot.HEIGHT if named else 1,
        rows=[*_moments(outcome, report)],
    ).html()


def _back(points: Sequence[tuple[float, float]], since: float) -> float:
    """Return when memory is back: from then on it stays close to its last value."""
    low, high = points[-1][1], max(size for _at, size in points)
    near = low + (high - low) * _BACK
    back = points[-1][0]
    for at, size in reversed(points):
        if size > near:
            break
        back = at
    return max(back, since)


def _clipped(
    lines: dict[str, list[tuple[float, float]]], start: float, end: float
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each line from edge to edge; what crosses an edge is interpolated there."""
    for name, points in lines.items():
        found = []
        for (at, size), (then, later) in zip(points, [*points[1:], points[-1]], strict=True):
            if start <= at <= end:
                found.append((at, size))
            for edge in (start, end):
                if at < edge < then:
                    found.append((edge, size + (later - size) * (edge - at) / (then - at)))
        yield name, found


def _apart(
    shown: dict[str, list[tuple[float, float]]], named: dict[str, str], colour: dict[str, int]
) -> Iterator[plot.Curve]:
    """Yield a curve for each cgroup; of lines that are about equal each is drawn 3 px higher."""
    seen: dict[tuple[int, ...], int] = {}
    top = max((size for points in shown.values() for _at, size in points), default=1) or 1
    for name, label in named.items():
        points = shown[name]
        few = [points[round(n * (len(points) - 1) / 8)][1] for n in range(9)]
        shape = tuple(round(60 * size / top) for size in few)
        seen[shape] = seen.get(shape, -1) + 1
        yield plot.Curve(points, colour[label], shift=3.0 * seen[shape])


def _verticals(report: CallReport) -> Iterator[tuple[float, str, str]]:
    yield 0.0, "mark", "call"
    for stamp in report.timeline.stamps:
        if stamp.name == Moment.EXITED:
            yield stamp.at_ns - report.timeline.stamps[0].at_ns, "death", f"exited {stamp.pid}"


def _moments(outcome: Outcome, report: CallReport) -> Iterator[plot.Moments]:
    """Yield a row for each kind of moment, with the tasks that it concerns."""
    stamps = report.timeline.stamps
    comms = {each.task.pid: each.task.comm for each in outcome.tasks}
    comms |= {kill.pid: kill.comm for kill in report.kills}
    comms.pop(report.result.caller, None)
    for name in dict.fromkeys(stamp.name for stamp in stamps):
        of = [stamp for stamp in stamps if stamp.name == name]
        at = [float(stamp.at_ns - stamps[0].at_ns) for stamp in of]
        dead = [comms.get(stamp.pid, str(stamp.pid)) for stamp in of if stamp.pid in comms]
        who = ", ".join(dead) if len(dead) <= _MOST_NAMES else counted(len(dead), "task")
        text = plot.duration_text(min(at), max(at)) if any(at) else "0"
        yield plot.Moments(name, at, " ".join(filter(None, (text, who))), name in _KILLING)
