"""A report in parts, lines with labels and tables, laid out as text or as Markdown."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

from oomctl.describe.sentences import Table
from oomctl.report.layout import lay_out
from oomctl.report.markdown import escape

_LABEL = 11


@dataclass(frozen=True)
class Part:
    """A part of a report: lines of a label and a text each, or a table."""

    lines: tuple[tuple[str, str], ...] = ()
    table: Table | None = None


def as_text(parts: Iterable[Part], width: int) -> str:
    """Return the parts for a terminal; lines are wrapped at the width, tables as wide as needed."""
    blocks = []
    for part in parts:
        if part.lines:
            blocks.append("".join(_labelled(label, text, width) for label, text in part.lines))
        elif part.table and part.table.rows:
            blocks.append(f"{lay_out(part.table, 'simple')}\n")
    return "\n".join(blocks)


def _labelled(label: str, text: str, width: int) -> str:
    indent = label.ljust(_LABEL) if len(label) < _LABEL else f"{label}  "
    return (
        textwrap.fill(
            text,
            width,
            initial_indent=indent,
            subsequent_indent=" " * _LABEL,
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )


def as_markdown(parts: Iterable[Part]) -> str:
    """Return the parts as Markdown: lists and tables."""
    blocks = []
    for part in parts:
        if part.lines:
            lines = (f"- **{escape(label)}**: {escape(text)}\n" for label, text in part.lines)
            blocks.append("".join(lines))
        elif part.table and part.table.rows:
            headers = [escape(_flat(header)) for header in part.table.headers]
            rows = [[escape(_flat(cell)) for cell in row] for row in part.table.rows]
            numbers = frozenset(map(escape, part.table.numbers))
            table = replace(part.table, headers=headers, rows=rows, numbers=numbers)
            blocks.append(f"{lay_out(table, 'github')}\n")
    return "\n".join(blocks)


def _flat(cell: str) -> str:
    return cell.replace("\n", " ")
