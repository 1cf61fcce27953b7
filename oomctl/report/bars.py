"""Tasks as stacked bars on one scale: what badness is made of, the limit, what turns the choice."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from oomctl.report.page import Swatch, escape, key
from oomctl.text import counted
from oomctl.units import format_size

CHOSEN = "The OOM killer chooses the task with the longest bar."
CHOSEN_IN_TARGET = "Of the tasks in the target the OOM killer chooses the one with the longest bar."
_ROOM = 1.02  # right of the longest bar
_FAR = 3.0
"""A limit, or a weight of oom_score_adj, of more than this many times the largest task is cut."""
_FOLDED_FROM = 40
"""From this many tasks on, those that live are one line of each group, but for its largest."""


@dataclass(frozen=True)
class BarRow:
    """One task: sizes in bytes; `adj` is the weight of its oom_score_adj, negative if it protects.

    `flips` are totals at which the choice turns. A row that is `dead` is struck out.
    """

    name: str
    rss: int
    swap: int = 0
    pgtables: int = 0
    adj: int = 0
    end: str = ""
    dead: bool = False
    flips: tuple[int, ...] = ()

    @property
    def held(self) -> int:
        """What it holds."""
        return self.rss + self.swap + self.pgtables


@dataclass(frozen=True)
class BarGroup:
    """The tasks of one cgroup; `note` says what is special about it."""

    name: str
    rows: Sequence[BarRow] = ()
    note: str = ""
    depth: int = 0


def tree(groups: Sequence[BarGroup], limit: int | None, limit_name: str, about: str = "") -> str:
    """Return the groups with their tasks; `limit` in bytes is marked, if it is not far away.

    `about` is said of several tasks: what the bars mean.
    """
    rows = [row for group in groups for row in group.rows]
    largest = max((row.held for row in rows), default=1) or 1
    weights = [row.held + row.adj for row in rows]
    scale = max(largest, min(max(weights, default=1), _FAR * largest))
    marked = limit if limit is not None and limit <= _FAR * scale else None
    scale = max(scale, marked or 0) * _ROOM
    means = f'<p class="dim">{escape(about)}</p>' if about and len(rows) > 1 else ""
    parts = [means, _key(rows, limit, marked, limit_name), '<div class="tree">']
    folds = len(rows) >= _FOLDED_FROM
    if folds:  # what died comes first
        groups = sorted(groups, key=_lives)
    for group in groups:
        parts += _group(group, scale, marked, folds)
    return "".join([*parts, "</div>"])


def _lives(group: BarGroup) -> bool:
    """Tell whether a group has tasks, and all of them live."""
    return bool(group.rows) and not any(row.dead for row in group.rows)


def _key(rows: Iterable[BarRow], limit: int | None, marked: int | None, limit_name: str) -> str:
    used = {"rss": "rss"}
    used |= {"swap": "swap"} if any(row.swap for row in rows) else {}
    used |= {"pgtables": "page tables"} if any(row.pgtables for row in rows) else {}
    used |= {"plus": "weight of oom_score_adj"} if any(row.adj > 0 for row in rows) else {}
    used |= {"minus": "taken off by oom_score_adj"} if any(row.adj < 0 for row in rows) else {}
    swatches = [Swatch(name, text) for name, text in used.items()]
    found = key(swatches)
    if limit is not None:
        where = "the line" if marked is not None else "beyond the right edge"
        found += f'<p class="dim">limit: {escape(f"{limit_name}, {where}")}</p>'
    return found


def _group(group: BarGroup, scale: float, limit: int | None, folds: bool) -> Iterator[str]:
    note = f' <span class="dim">{escape(group.note)}</span>' if group.note else ""
    yield (
        f'<div class="group"><span class="name" style="{_indent(group.depth)}">'
        f"<code>{escape(group.name)}</code>{note}</span></div>"
    )
    living = [row for row in group.rows if not row.dead]
    largest = max(living, key=lambda row: row.held + row.adj, default=None)
    shown = [row for row in group.rows if row.dead or row is largest or not folds]
    for row in shown:
        yield _row(row, scale, limit, group.depth + 1)
    if rest := [row for row in group.rows if row not in shown]:
        size = format_size(sum(row.held for row in rest))
        text = counted(len(rest), "more task")
        yield (
            f'<div><span class="name dim" style="{_indent(group.depth + 1)}">{text}</span>'
            f'<span class="end dim">{size} together</span><span class="bar none"></span></div>'
        )


def _row(row: BarRow, scale: float, limit: int | None, depth: int) -> str:
    name = f"<s>{escape(row.name)}</s>" if row.dead else escape(row.name)
    kind = " bad" if row.dead else ""
    marks = _mark("", limit, scale) if limit is not None else ""
    marks += "".join(_mark(' class="flip"', at, scale) for at in row.flips if at <= scale)
    return (
        f'<div><span class="name{kind}" style="{_indent(depth)}">{name}</span>'
        f'<span class="end{kind}">{escape(row.end)}</span>'
        f'<span class="bar">{"".join(_segments(row, scale))}{marks}</span></div>'
    )


def _mark(kind: str, at: int, scale: float) -> str:
    return f'<b{kind} style="left:{_percent(at, scale)}"></b>'


def _segments(row: BarRow, scale: float) -> Iterator[str]:
    room = scale
    for name in ("rss", "swap", "pgtables"):
        if size := getattr(row, name):
            room -= size
            yield f'<i class="{name}" style="width:{_percent(size, scale)}"></i>'
    if row.adj > 0:
        yield f'<i class="plus" style="width:{_percent(min(row.adj, max(room, 0)), scale)}"></i>'
    elif row.adj < 0:
        width = _percent(min(-row.adj, row.held), scale)
        yield f'<i class="minus" style="width:{width};--w:{width}"></i>'


def _indent(depth: int) -> str:
    return f"padding-left:{depth * 0.9:.1f}rem"


def _percent(size: float, scale: float) -> str:
    return f"{100 * max(min(size / scale, 1), 0):.2f}%"
