"""Memory over time as an SVG drawing: a line for each cgroup, marks for moments. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from oomctl.oom.outcome import Sample
from oomctl.units import format_duration, format_size

WIDTH, PLOT_HEIGHT = 1160, 300
LEFT, RIGHT, FOOT = 76, 16, 46
COLOURS = 8
_ROW, _CHARACTER = 17, 7.3  # pixels: a row of labels, and a character of theirs
_MOST_ROWS, _LONGEST = 8, 44


@dataclass(frozen=True)
class Mark:
    """A moment in ns after the call; a death is also drawn on the line of its `cgroup`."""

    after_ns: int
    label: str
    death: bool = False
    cgroup: str | None = None


@dataclass(frozen=True)
class Line:
    """memory.current of one cgroup: points of (ns after the call, bytes) in order of time."""

    cgroup: str
    label: str
    points: tuple[tuple[int, int], ...]


def lines(samples: Sequence[Sample], call_at: int, start: int, end: int) -> tuple[Line, ...]:
    """Return the samples from `start` to `end` (ns after the call) by cgroup.

    On a busy machine there may be no sample within the drawing: a line that crosses an edge gets a
    point there, interpolated between the samples around it.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for sample in samples:
        found.setdefault(sample.cgroup, []).append((sample.at_ns - call_at, sample.bytes))
    clipped = {cgroup: tuple(_clip(points, start, end)) for cgroup, points in found.items()}
    return tuple(Line(cgroup, cgroup, points) for cgroup, points in clipped.items() if points)


def _clip(points: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    for index, (at, size) in enumerate(points):
        if index:
            before, was = points[index - 1]
            for edge in (start, end):
                if before < edge < at:
                    yield edge, was + (size - was) * (edge - before) // (at - before)
        if start <= at <= end:
            yield at, size


def chart(drawn: Sequence[Line], marks: Sequence[Mark], start: int, end: int, title: str) -> str:
    """Return an <svg> element of the time from `start` to `end`, in ns after the call."""
    top = max((size for line in drawn for _at, size in line.points), default=1)
    step = _size_step(top)
    ceiling = step * (top // step + 1)
    labels = _labels(sorted(marks, key=lambda mark: mark.after_ns), start, end)
    head = 10 + _ROW * (1 + max((label.row for label in labels), default=0))
    height = head + PLOT_HEIGHT + FOOT
    bottom = head + PLOT_HEIGHT

    def y(size: float) -> float:
        return bottom - PLOT_HEIGHT * size / ceiling

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    for size in range(0, ceiling + 1, step):
        parts.append(f'<path class="grid" d="M{LEFT} {y(size):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y(size) + 4, _iec(size), "end"))
    time_step, unit, factor = _time_step(end - start)
    for tick in range(-(-start // time_step) * time_step, end + 1, time_step):
        x = _x(tick, start, end)
        parts.append(f'<path class="grid" d="M{x:.1f} {head}V{bottom + 5}"/>')
        parts.append(_text(x, bottom + 20, f"{tick / factor:g}", "middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, bottom + 40, f"time after the call, in {unit}", "middle"))
    parts += [
        f'<path class="{"death" if mark.death else "moment"}" '
        f'd="M{_x(mark.after_ns, start, end):.1f} {head}V{bottom}">'
        f"<title>{escape(mark.label)} at {format_duration(mark.after_ns)}</title></path>"
        for mark in marks
    ]
    for number, line in enumerate(drawn):
        points = " ".join(f"{x:.1f},{y(size):.1f}" for x, size in _thin(line.points, start, end))
        parts.append(
            f'<polyline class="line c{number % COLOURS}{" dashed" * (number >= COLOURS)}" '
            f'points="{points}"><title>{escape(line.label)}</title></polyline>'
        )
    sizes = {line.cgroup: line.points for line in drawn}
    for mark in marks:
        if mark.death and (points_of := sizes.get(mark.cgroup or "")):
            at, size = min(points_of, key=lambda point: abs(point[0] - mark.after_ns))
            if abs(at - mark.after_ns) <= (end - start) / 20:  # else there is no sample near it
                parts.append(_cross(_x(mark.after_ns, start, end), y(size)))
    parts += [
        f'<path class="leader" d="M{label.x:.1f} {_label_y(label.row) + 3}V{head}"/>'
        + _text(
            label.x + (-4 if label.left else 4),
            _label_y(label.row),
            label.text,
            "end" if label.left else "start",
        )
        for label in labels
    ]
    return "".join([*parts, "</svg>"])


def swatch(number: int) -> str:
    """Return a short piece of the line with that number, for a legend."""
    dashed = " dashed" * (number >= COLOURS)
    return (
        '<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true">'
        f'<path class="line c{number % COLOURS}{dashed}" d="M1 5H27"/></svg>'
    )


def bar(start: int, end: int, whole: int) -> str:
    """Return a bar that shows where a part lies in the whole; all in ns after the call."""
    scale = 240 / max(whole, 1)
    width = max((end - start) * scale, 1.5)
    x = min(start * scale, 240 - width)
    return (
        '<svg class="bar" viewBox="0 0 240 10" aria-hidden="true">'
        '<path class="grid" d="M0 5H240"/>'
        f'<rect x="{x:.1f}" y="1" width="{width:.1f}" height="8"/></svg>'
    )


def _x(after: float, start: int, end: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (after - start) / max(end - start, 1)


def _label_y(row: int) -> int:
    return 12 + _ROW * row


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cross(x: float, y: float) -> str:
    return f'<path class="cross" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"/>'


@dataclass(frozen=True)
class _Label:
    """A text beside its mark: at `x` pixels, in a row, right of it or (`left`) left of it."""

    x: float
    row: int
    text: str
    left: bool


def _labels(marks: Iterable[Mark], start: int, end: int) -> list[_Label]:
    """Place labels in rows without overlaps; marks in about the same place share a label."""
    texts: dict[int, list[str]] = {}
    for mark in marks:
        texts.setdefault(round(_x(mark.after_ns, start, end) / 3), []).append(mark.label)
    placed: list[_Label] = []
    free = [0.0] * _MOST_ROWS
    for slot, labels in texts.items():
        text, x = _joined(labels), slot * 3.0
        width = len(text) * _CHARACTER + 12
        left = x + width > WIDTH
        begin, finish = (x - width, x) if left else (x, x + width)
        row = next((row for row, since in enumerate(free) if since <= begin), None)
        if row is not None:
            free[row] = finish
            placed.append(_Label(x, row, text, left))
    return placed


def _joined(labels: Sequence[str]) -> str:
    text = labels[0]
    for number, more in enumerate(labels[1:], 1):
        if len(text) + len(more) > _LONGEST:
            return f"{text} and {len(labels) - number} more"
        text += f", {more}"
    return text


def _thin(points: Sequence[tuple[int, int]], start: int, end: int) -> Iterable[tuple[float, int]]:
    """Keep the first, lowest, highest and last point of each pixel; others are invisible."""
    columns: dict[int, list[tuple[int, int]]] = {}
    for point in points:
        columns.setdefault(int(_x(point[0], start, end)), []).append(point)
    for column in columns.values():
        ends = {column[0], column[-1]}
        ends |= {min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1])}
        yield from ((_x(at, start, end), size) for at, size in sorted(ends))


def _size_step(top: int) -> int:
    """Return the power of two that makes four to eight ticks."""
    return 1 << max(int(top // 4).bit_length() - 1, 0)


def _time_step(span: int) -> tuple[int, str, float]:
    """Return ns between ticks (1, 2 or 5 times a power of ten), the unit and its ns."""
    power = 10 ** max(len(str(max(span, 10) // 10)) - 1, 0)
    step = next(power * n for n in (1, 2, 5, 10) if span / (power * n) <= 14)
    unit, factor = next(
        (unit, factor)
        for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0))
        if span >= 2 * factor or unit == "ns"
    )
    return step, unit, factor


def _iec(size: int) -> str:
    text = format_size(size)
    return f"{text} B" if text.isdigit() else f"{text[:-1]} {text[-1]}iB"
