"""A report as parts (headings, labelled lines, tables), laid out as text or as Markdown.

Every renderer for people builds parts; only this module decides what they look like, and only this
module calls tabulate. Names of tasks and cgroups may hold any byte: printable() is applied here.
"""

import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from oomctl.text import printable, shortened

WIDTH = 80
_LABEL = 10  # columns of a label, with the gap after it
_GAP = 2  # columns between those of a table
_LEAST = 16  # characters that a name keeps when it is shortened


@dataclass(frozen=True)
class Heading:
    """A heading; with `only_markdown`, text has none because a labelled line says the same."""

    text: str
    only_markdown: bool = False


@dataclass(frozen=True)
class Lines:
    """Lines of a label and a text each; a line whose label is empty begins at the margin."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Headers and rows of text.

    `numbers` are the columns aligned to the right. `names` are those of names and paths, which are
    shortened to fit a terminal. `prose` are those of sentences, which are wrapped to fit, with
    their least width. `spare` are those that a narrow terminal does without if no cell says more
    than 0 or -. A table that `folds` is split into several if it is wider than the text, even if
    that does not go to a terminal.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()
    names: Collection[str] = ()
    prose: Mapping[str, int] = field(default_factory=dict)
    folds: bool = False
    spare: Collection[str] = ()


Part = Heading | Lines | Table


def as_text(parts: Iterable[Part], width: int = WIDTH, terminal: int | None = None) -> str:
    """Return the parts as text with a blank line between two of them.

    Lines are wrapped at `width`, or where a narrower terminal ends. Tables are as wide as their
    cells; on a terminal they fit, whatever the cells hold.
    """
    return "\n".join(_text(part, width, terminal) for part in parts if not _is_empty(part))


def as_markdown(parts: Iterable[Part]) -> str:
    """Return the parts as Markdown: headings, lists and tables."""
    return "\n".join(_markdown(part) for part in parts if not _is_empty(part, markdown=True))


def escape_markdown(text: str) -> str:
    """Keep Markdown from reading a name as markup."""
    return "".join(f"\\{c}" if c in r"\`*_<>|[]" else c for c in printable(text))


def _is_empty(part: Part, markdown: bool = False) -> bool:
    if isinstance(part, Heading):
        return part.only_markdown and not markdown
    return not part.rows


def _text(part: Part, width: int, terminal: int | None) -> str:
    if isinstance(part, Heading):
        return f"{printable(part.text)}\n"
    narrow = max(min(width, terminal or width), 2 * _LABEL)
    if isinstance(part, Table):
        return _text_table(_map_cells(part, printable), narrow, terminal)
    return "".join(
        textwrap.fill(
            printable(text),
            narrow,
            initial_indent=f"{label}  " if len(label) >= _LABEL else label and label.ljust(_LABEL),
            subsequent_indent=" " * _LABEL if label else "",
            break_long_words=terminal is not None,
            break_on_hyphens=False,
        )
        + "\n"
        for label, text in ((printable(label), text) for label, text in part.rows)
    )


def _markdown(part: Part) -> str:
    if isinstance(part, Heading):
        return f"### {escape_markdown(part.text)}\n"
    if isinstance(part, Table):
        return _tabulated(_map_cells(part, escape_markdown), "github")
    return "".join(
        f"- **{escape_markdown(label)}**: {escape_markdown(text)}\n"
        if label
        else f"- {escape_markdown(text)}\n"
        for label, text in part.rows
    )


def _map_cells(table: Table, change: Callable[[str], str]) -> Table:
    return replace(
        table,
        headers=[*map(change, table.headers)],
        rows=[[*map(change, row)] for row in table.rows],
        numbers={*map(change, table.numbers)},
        names={*map(change, table.names)},
        prose={change(header): least for header, least in table.prose.items()},
    )


def _tabulated(table: Table, style: str) -> str:
    import tabulate

    tabulate.MIN_PADDING = 0  # else every header takes two more columns
    align = ["right" if header in table.numbers else "left" for header in table.headers]
    laid = tabulate.tabulate(
        table.rows, table.headers, tablefmt=style, disable_numparse=True, colalign=align
    )
    return f"{laid}\n"


def _text_table(table: Table, width: int, terminal: int | None) -> str:
    table = _wrapped(table, width)
    limit = terminal or (width if table.folds else None)
    if limit is None or _fits(table, limit):
        return _tabulated(table, "simple")
    table = _without_spare(table, limit) if terminal else table
    narrow = _shortened(table, limit, _LEAST, table.names) if terminal else table
    if _fits(narrow, limit):
        return _tabulated(narrow, "simple")
    folded = _folded(table, _widths(narrow), limit)
    if terminal:
        folded = (_cut(part, limit) for part in folded)
    return "\n".join(_tabulated(part, "simple") for part in folded)


def _widths(table: Table) -> list[int]:
    """Return the width of each column, with the gap after it."""
    columns = zip(table.headers, *table.rows, strict=True)
    return [max(len(line) for cell in each for line in cell.split("\n")) + _GAP for each in columns]


def _fits(table: Table, width: int) -> bool:
    return sum(_widths(table)) <= width + _GAP


def _without_spare(table: Table, width: int) -> Table:
    """Leave out spare columns of zeros, or without content, from the right, until it fits."""
    for at in reversed(range(len(table.headers))):
        is_zero = all(row[at] in ("0", "-") for row in table.rows)
        if table.headers[at] in table.spare and is_zero and not _fits(table, width):
            table = _columns(table, [each for each in range(len(table.headers)) if each != at])
    return table


def _wrapped(table: Table, width: int) -> Table:
    """Wrap the columns of sentences to share what the others leave of the width."""
    if not table.prose:
        return table
    widths = dict(zip(table.headers, _widths(table), strict=True))
    others = sum(widths[header] for header in table.headers if header not in table.prose)
    room = (width + _GAP - others) // len(table.prose) - _GAP
    rows = [
        [
            textwrap.fill(cell, max(room, table.prose[header]), break_on_hyphens=False)
            if header in table.prose
            else cell
            for header, cell in zip(table.headers, row, strict=True)
        ]
        for row in table.rows
    ]
    return replace(table, rows=rows)


def _shortened(table: Table, width: int, least: int, columns: Collection[str]) -> Table:
    """Shorten the widest of some columns until all fit, but none below `least` characters."""
    widths = _widths(table)
    texts = [at for at, header in enumerate(table.headers) if header in columns]
    while sum(widths) > width + _GAP:
        at = max(texts, key=lambda at: widths[at], default=0)
        if not texts or widths[at] <= max(least, len(table.headers[at])) + _GAP:
            break
        widths[at] -= 1
    rows = [
        [shortened(cell, to - _GAP) for cell, to in zip(row, widths, strict=True)]
        for row in table.rows
    ]
    return replace(table, rows=rows)


def _folded(table: Table, widths: Sequence[int], width: int) -> Iterator[Table]:
    """Yield the columns that fit, then the next ones beside the first column once more."""
    taken = [0]
    for at in range(1, len(widths)):
        if len(taken) > 1 and sum(widths[each] for each in (*taken, at)) > width + _GAP:
            yield _columns(table, taken)
            taken = [0]
        taken.append(at)
    yield _columns(table, taken)


def _columns(table: Table, wanted: Sequence[int]) -> Table:
    headers = [table.headers[at] for at in wanted]
    return replace(table, headers=headers, rows=[[row[at] for at in wanted] for row in table.rows])


def _cut(table: Table, width: int) -> Table:
    """Shorten names, and if that is not enough every text, until the table fits."""
    part = _shortened(table, width, _LEAST, table.names)
    return _shortened(part, width, 1, {*table.headers} - {*table.numbers})
