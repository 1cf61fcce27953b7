"""One round of one variant: the report of a declaration, then what was expected of it."""

import textwrap
from dataclasses import replace

from oomctl.outcome import Outcome
from oomctl.report import RENDERERS, Format, rows
from oomctl.report.parts import Part, as_markdown, as_text
from oomctl.report.rows import Table

WIDTH = 80
_NAME, _WHY = 34, 36  # characters of a cell


def render(outcome: Outcome, output_format: Format) -> str:
    """Return the report in that form; checks follow where it is for people."""
    text = RENDERERS[output_format](outcome)
    if not outcome.checks:
        return text
    if output_format == "table":
        return f"{text}\n{as_text([Part(table=_table(outcome))], WIDTH)}"
    if output_format == "markdown":
        return f"{text}\n{as_markdown([Part(table=_table(outcome))])}"
    return text


def _table(outcome: Outcome) -> Table:
    table = rows.checks_table(outcome)
    narrow = [
        [textwrap.fill(name, _NAME), held, textwrap.fill(why, _WHY)]
        for name, held, why in table.rows
    ]
    return replace(table, rows=narrow)
