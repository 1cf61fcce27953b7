"""An outcome as text for a terminal."""

import textwrap

from oomctl.describe import call_table, sentences
from oomctl.oom.outcome import Outcome
from oomctl.report.layout import lay_out

WIDTH = 80
_LABEL = 10


def render(outcome: Outcome, width: int | None = None) -> str:
    """Return the calls, the table of the dead and the counters; 80 columns where names allow.

    On a terminal of that `width` they fit, whatever the names.
    """
    parts = _many(outcome, width) if call_table.many(outcome) else _blocks(outcome, width)
    tables = (
        sentences.task_table(outcome),
        sentences.timeline_table(outcome),
        sentences.events_table(outcome),
    )
    for table in tables:
        if table.rows:
            parts += [lay_out(table, "simple", width), ""]
    if memory := sentences.memory_line(outcome):
        parts.append(_line(memory, width))
    parts.append(_line(sentences.environment_line(outcome), width))
    parts += [labelled("note", remark, width) for remark in sentences.remarks(outcome)]
    return "\n".join(parts) + "\n"


def _blocks(outcome: Outcome, width: int | None) -> list[str]:
    parts = [] if outcome.calls else [labelled(*sentences.verdict_row(outcome), width), ""]
    for number, declared in enumerate(outcome.calls, 1):
        if len(outcome.calls) > 1:
            parts.append(f"call {number} of {len(outcome.calls)}")
        parts += [labelled(label, text, width) for label, text in sentences.call_rows(declared)]
        parts.append("")
    return parts


def _many(outcome: Outcome, width: int | None) -> list[str]:
    lines = [labelled(label, text, width) for label, text in call_table.common_rows(outcome)]
    return [*lines, "", lay_out(call_table.table(outcome), "simple", width), ""]


def _line(text: str, width: int | None) -> str:
    return textwrap.fill(text, width) if width else text


def labelled(label: str, text: str, width: int | None) -> str:
    """Wrap a text behind its label, at 80 columns or where a narrower terminal ends."""
    return textwrap.fill(
        text,
        min(WIDTH, width or WIDTH),
        initial_indent=label.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_long_words=width is not None,
        break_on_hyphens=False,
    )
