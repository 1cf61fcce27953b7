"""An outcome as Markdown, ready to be pasted into a mail or an issue."""

from dataclasses import replace

from oomctl.describe import call_table, sentences
from oomctl.oom.outcome import Outcome
from oomctl.report.layout import lay_out


def render(outcome: Outcome) -> str:
    """Return the calls, then the tasks, the counters and the environment."""
    parts = _many(outcome) if call_table.many(outcome) else _blocks(outcome)
    tables = (
        sentences.task_table(outcome),
        sentences.timeline_table(outcome),
        sentences.events_table(outcome),
    )
    for table in tables:
        if table.rows:
            parts += [_lay_out(table), ""]
    if memory := sentences.memory_line(outcome):
        parts += [memory, ""]
    parts += [f"> {escape(remark)}" for remark in sentences.remarks(outcome)]
    parts.append(escape(sentences.environment_line(outcome)))
    return "\n".join(parts) + "\n"


def _blocks(outcome: Outcome) -> list[str]:
    parts = [] if outcome.calls else [_labelled(*sentences.verdict_row(outcome)), ""]
    for number, declared in enumerate(outcome.calls, 1):
        heading = f" {number}" if len(outcome.calls) > 1 else ""
        parts += [f"### Declaration{heading}: {declared.verdict.name}", ""]
        parts += [_labelled(label, text) for label, text in sentences.call_rows(declared)]
        parts.append("")
    return parts


def _many(outcome: Outcome) -> list[str]:
    lines = [_labelled(label, text) for label, text in call_table.common_rows(outcome)]
    heading = f"### {len(outcome.calls)} declarations: {outcome.verdict.name}"
    return [heading, "", *lines, "", _lay_out(call_table.table(outcome)), ""]


def _labelled(label: str, text: str) -> str:
    return f"- **{label}**: {escape(text)}"


def _lay_out(table: sentences.Table) -> str:
    cells = [[escape(cell) for cell in row] for row in table.rows]
    return lay_out(replace(table, rows=cells), "github")


def escape(text: str) -> str:
    """Keep Markdown from reading a name as markup."""
    return "".join(f"\\{c}" if c in r"\`*_<>|[]" else c for c in text)
