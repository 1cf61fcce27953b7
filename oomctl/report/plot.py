"""Curves, bars and moments over an axis, drawn so that text keeps its size at any width.

The drawing is an <svg> that is stretched; labels are HTML, placed in percent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log10
from zlib import crc32

from oomctl.report.page import escape
from oomctl.units import format_duration, format_size

COLOURS = 8
HEIGHT = 220
_WIDTH = 1000
_ROW = 17
"""Pixels between the labels of marks."""


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, or of their logarithms."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = log10(low), log10(high), log10(max(value, self.low))
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0


@dataclass(frozen=True)
class Curve:
    """Points of (x, y); `kind` "line", "dashed", "dots", or "area", which is filled down to 0."""

    points: Sequence[tuple[float, float]]
    colour: int
    kind: str = "line"
    shift: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A point of a curve with a line down to the axis; its label stands in a row from below."""

    x: float
    y: float
    colour: int
    label: str = ""
    row: int = 0


@dataclass(frozen=True)
class Plot:
    """Curves with their axes; ticks are (value, label). `verticals` are (x, class, title)."""

    title: str
    x: Scale
    y: Scale
    curves: Sequence[Curve]
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    verticals: Sequence[tuple[float, str, str]] = ()
    caption: str = ""
    height: int = HEIGHT
    rows: Sequence["Moments"] = field(default=())
    marks: Sequence[Mark] = ()

    def html(self) -> str:
        """Return the plot, with the moments below it on the same axis."""
        labels = "".join(
            f'<span style="top:{100 * (1 - self.y.share(at)):.1f}%">{escape(text)}</span>'
            for at, text in self.y_ticks
        )
        ticks = "".join(
            f'<span{_edge(self.x.share(at))} style="left:{100 * self.x.share(at):.1f}%">'
            f"{escape(text)}</span>"
            for at, text in self.x_ticks
        )
        caption = f'<div class="caption">{escape(self.caption)}</div>' if self.caption else ""
        moments = "".join(row.html(self.x) for row in self.rows)
        return (
            f'<figure class="plot"><div class="y" style="height:{self.height}px">{labels}</div>'
            f'<div class="area" style="height:{self.height}px">{self._drawing()}'
            f"{''.join(map(self._label, self.marks))}</div>"
            f'{moments}<div></div><div class="x">{ticks}</div>{caption}</figure>'
        )

    def _drawing(self) -> str:
        parts = [
            f'<svg viewBox="0 0 {_WIDTH} {self.height}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(self.title)}"><title>{escape(self.title)}</title>'
        ]
        grid = [f"M0 {self._y(at):.1f}H{_WIDTH}" for at, _ in self.y_ticks]
        grid += [f"M{self._x(at):.1f} 0V{self.height}" for at, _ in self.x_ticks]
        parts.append(f'<path class="grid" d="{"".join(grid)}"/>')
        for at, kind, title in self.verticals:
            parts.append(
                f'<path class="{kind}" d="M{self._x(at):.1f} 0V{self.height}">'
                f"<title>{escape(title)}</title></path>"
            )
        parts += map(self._curve, self.curves)
        for mark in self.marks:
            x, y = self._x(mark.x), self._y(mark.y)
            parts.append(f'<path class="drop c{mark.colour}" d="M{x:.1f} {y:.1f}V{self.height}"/>')
            parts.append(f'<path class="point c{mark.colour}" d="M{x:.1f} {y:.1f}h0"/>')
        return "".join([*parts, "</svg>"])

    def _label(self, mark: Mark) -> str:
        """Return the label of a mark, on the side of it that has more room."""
        share = 100 * self.x.share(mark.x)
        side, edge = ("right", 100 - share) if share > 50 else ("left", share)
        where = f"{side}:calc({edge:.1f}% + 4px);bottom:{mark.row * _ROW}px"
        return f'<span style="{where}">{escape(mark.label)}</span>' if mark.label else ""

    def _curve(self, curve: Curve) -> str:
        kinds = {"area": "fill", "dots": "dots", "dashed": "curve dashed"}
        kind = kinds.get(curve.kind, "curve")
        placed = [(self._x(x), self._y(y) - curve.shift) for x, y in curve.points]
        if curve.kind == "dots":
            path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in dict.fromkeys(placed))
        elif curve.kind == "area":
            body = "".join(f"L{x:.1f} {y:.1f}" for x, y in placed)
            path = f"M{placed[0][0]:.1f} {self.height}{body}L{placed[-1][0]:.1f} {self.height}Z"
        else:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _thin(placed))
        return f'<path class="{kind} c{curve.colour}" d="{path}"/>'

    def _x(self, value: float) -> float:
        return _WIDTH * self.x.share(value)

    def _y(self, value: float) -> float:
        return self.height * (1 - self.y.share(value))


@dataclass(frozen=True)
class Moments:
    """Moments of one kind: where they lie on the axis, and what is written beside them."""

    name: str
    at: Sequence[float]
    text: str
    bad: bool = False

    def html(self, x: Scale) -> str:
        """Return the row; its text stands where there is more room."""
        first, last = (100 * x.share(each) for each in (min(self.at), max(self.at)))
        if len(self.at) > 1 and last - first > 1:
            dot = f'<i class="span" style="left:{first:.1f}%;width:{last - first:.1f}%"></i>'
        else:
            dot = f'<i style="left:{first:.1f}%"></i>'
        left_of = 100 - last < first
        side, edge = ("right", 100 - first) if left_of else ("left", last)
        kind = "moment bad" if self.bad else "moment"
        beside = (
            f"margin-{side}:calc({edge:.1f}% + 8px);text-align:{'right' if left_of else 'left'}"
        )
        return (
            f'<div class="what">{escape(self.name)}</div>'
            f'<div class="{kind}">{dot}<span style="{beside}">{escape(self.text)}</span></div>'
        )


def _edge(share: float) -> str:
    """Return the class of a label that would stand out of the plot on the left or right."""
    return ' class="start"' if share < 0.12 else ' class="end"' if share > 0.88 else ""


def colours(names: Iterable[str]) -> dict[str, int]:
    """Return a colour for each name: the same on every page, as long as there are enough."""
    taken: dict[str, int] = {}
    for name in sorted(set(names)):
        wanted = crc32(name.encode(errors="backslashreplace")) % COLOURS
        free = [(wanted + n) % COLOURS for n in range(COLOURS)]
        used = set(taken.values())
        taken[name] = next((each for each in free if each not in used), wanted)
    return taken


def time_ticks(low: float, high: float, most: int = 4) -> list[tuple[float, str]]:
    """Return ticks between two times in ns: 1, 2 or 5 times a power of ten apart."""
    span = max(high - low, 1)
    power = 10.0 ** int(log10(span))
    step = next(power * n for n in (0.1, 0.2, 0.5, 1, 2, 5, 10) if span / (power * n) <= most)
    first = -int(-low // step) if low >= 0 else int(low // step)
    found = [n * step for n in range(first, int(high // step) + 1) if low <= n * step <= high]
    return [(at, _time(at)) for at in found]


def _time(at: float) -> str:
    if not at:
        return "0"
    sign, size = ("-" if at < 0 else ""), abs(at)
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if size >= factor:
            return f"{sign}{size / factor:g} {unit}"
    return f"{sign}{size:g} ns"


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks of a logarithmic axis of times in ns."""
    powers = [10**n for n in range(int(log10(low)), int(log10(high)) + 2)]
    found = [float(power) for power in powers if low <= power <= high]
    if len(found) < 2:
        steps = [float(m * power) for power in powers for m in (1, 2, 5)]
        found = [at for at in steps if low <= at <= high]
    step = -(-len(found) // 5) or 1
    return [(at, _time(at)) for at in found[::step]]


def size_ticks(top: float) -> list[tuple[float, str]]:
    """Return three to six ticks of bytes, powers of two apart."""
    step = 1 << max(int(top // 3).bit_length() - 1, 0)
    return [(float(at), format_size(at) if at else "0") for at in range(0, int(top) + 1, step)]


def duration_text(first: float, last: float) -> str:
    """Return a time, or the first and the last of several."""
    texts = dict.fromkeys(format_duration(int(each)) for each in (first, last))
    return " to ".join(texts)


def _thin(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Keep the first, lowest, highest and last point of each column; others are invisible."""
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        columns.setdefault(int(point[0]), []).append(point)
    for column in columns.values():
        ends = {column[0], column[-1]}
        ends |= {min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1])}
        yield from (point for point in column if point in ends)
