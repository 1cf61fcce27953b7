"""Columns of text from a table; the one place that calls tabulate."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from oomctl.describe.sentences import Table
from oomctl.text import shortened

_GAP = 2
_LEAST = 16  # characters that a name keeps, lest its row has to be broken


def lay_out(table: Table, style: str, width: int | None = None) -> str:
    """Return the table in a style of tabulate's, every cell as the text it is.

    With the width of a terminal, names are shortened so that it fits; where that is not enough,
    the columns that are left come below, after the first one once more.
    """
    if width is None or sum(_widths(table)) <= width + _GAP:
        return _laid(table, style)
    narrow = _cut(table, width, _LEAST, table.names)
    if sum(_widths(narrow)) <= width + _GAP:
        return _laid(narrow, style)
    return "\n\n".join(_laid(part, style) for part in _folded(table, _widths(narrow), width))


def _laid(table: Table, style: str) -> str:
    import tabulate

    tabulate.MIN_PADDING = 0  # else every header takes two more columns
    return tabulate.tabulate(
        table.rows,
        table.headers,
        tablefmt=style,
        disable_numparse=True,
        colalign=table.alignment,
    )


def _widths(table: Table) -> list[int]:
    """Return how wide each column is, with the gap after it."""
    columns = zip(table.headers, *table.rows, strict=True)
    return [max(len(line) for cell in each for line in cell.split("\n")) + _GAP for each in columns]


def _cut(table: Table, width: int, least: int, columns: Collection[str]) -> Table:
    """Shorten the widest of some columns until all fits, but none below `least` characters."""
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
    """Yield as many columns of these widths as fit, then the next beside the first, and so on."""
    taken = [0]
    for at in range(1, len(widths)):
        if len(taken) > 1 and sum(widths[each] for each in (*taken, at)) > width + _GAP:
            yield _columns(table, taken, width)
            taken = [0]
        taken.append(at)
    yield _columns(table, taken, width)


def _columns(table: Table, wanted: Sequence[int], width: int) -> Table:
    headers = [table.headers[at] for at in wanted]
    rows = [[row[at] for at in wanted] for row in table.rows]
    part = _cut(replace(table, headers=headers, rows=rows), width, _LEAST, table.names)
    return _cut(part, width, 1, {*headers} - table.numbers)
