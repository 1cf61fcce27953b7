"""An outcome as text for a terminal."""

import textwrap

from oomctl.outcome import Outcome
from oomctl.report import calls, rows
from oomctl.report.layout import lay_out

WIDTH = 80
_LABEL = 10


def render(outcome: Outcome) -> str:
    """Return the calls, the table of the dead and the counters; 80 columns where names allow."""
    parts = _many(outcome) if calls.many(outcome) else _blocks(outcome)
    tables = (rows.task_table(outcome), rows.timeline_table(outcome), rows.events_table(outcome))
    for table in tables:
        if table.rows:
            parts += [lay_out(table, "simple"), ""]
    if memory := rows.memory_line(outcome):
        parts.append(memory)
    parts.append(rows.environment_line(outcome))
    parts += [_labelled("note", remark) for remark in rows.remarks(outcome)]
    return "\n".join(parts) + "\n"


def _blocks(outcome: Outcome) -> list[str]:
    parts = [] if outcome.declared else [_labelled(*rows.verdict_row(outcome)), ""]
    for number, declared in enumerate(outcome.declared, 1):
        if len(outcome.declared) > 1:
            parts.append(f"call {number} of {len(outcome.declared)}")
        parts += [_labelled(label, text) for label, text in rows.call_rows(declared)]
        parts.append("")
    return parts


def _many(outcome: Outcome) -> list[str]:
    lines = [_labelled(label, text) for label, text in calls.common_rows(outcome)]
    return [*lines, "", lay_out(calls.table(outcome), "simple"), ""]


def _labelled(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=label.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
