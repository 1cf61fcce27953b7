"""One round of one variant: the report of a declaration, then what was expected of it."""

import textwrap

from oomctl.check import Check
from oomctl.outcome import Outcome
from oomctl.report import RENDERERS, Format
from oomctl.report.parts import Part, as_markdown, as_text
from oomctl.report.rows import Table
from oomctl.text import printable

WIDTH = 80
_NAME, _WHY = 34, 36  # characters of a cell


def render(outcome: Outcome, output_format: Format) -> str:
    """Return the report in that form; checks follow where it is for people."""
    text = RENDERERS[output_format](outcome)
    if not outcome.checks:
        return text
    if output_format == "table":
        return f"{text}\n{as_text([Part(table=_table(outcome.checks))], WIDTH)}"
    if output_format == "markdown":
        return f"{text}\n{as_markdown([Part(table=_table(outcome.checks))])}"
    return text


def _table(checks: tuple[Check, ...]) -> Table:
    rows = [
        [
            textwrap.fill(printable(check.name), _NAME),
            "untested" if check.passed is None else "yes" if check.passed else "NO",
            textwrap.fill(printable(check.why), _WHY),
        ]
        for check in checks
    ]
    return Table(["expected", "held", "found"], rows)
