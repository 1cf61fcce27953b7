"""One round of one variant: the report of a declaration, then what was expected of it."""

import textwrap
from dataclasses import replace

from oomctl.describe import sentences
from oomctl.describe.sentences import Table
from oomctl.oom.outcome import Outcome
from oomctl.report import Format
from oomctl.report import render as rendered
from oomctl.report.layout import lay_out
from oomctl.report.parts import Part, as_markdown

WIDTH = 80
_NAME, _WHY = 34, 36  # characters of a cell


def render(outcome: Outcome, output_format: Format, width: int | None = None) -> str:
    """Return the report in that form; checks follow where it is for people."""
    text = rendered(outcome, output_format, width)
    if not outcome.checks:
        return text
    if output_format == "table":
        return f"{text}\n{lay_out(_table(outcome, width), 'simple', width)}\n"
    if output_format == "markdown":
        return f"{text}\n{as_markdown([Part(table=_table(outcome, None))])}"
    return text


def _table(outcome: Outcome, width: int | None) -> Table:
    table = sentences.checks_table(outcome)
    less = max(WIDTH - (width or WIDTH), 0) // 2
    narrow = [
        [textwrap.fill(name, max(_NAME - less, 9)), held, textwrap.fill(why, max(_WHY - less, 9))]
        for name, held, why in table.rows
    ]
    return replace(table, rows=narrow)
