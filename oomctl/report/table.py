"""An outcome as text for a terminal."""

from oomctl.outcome import Outcome
from oomctl.report import rows


def render(outcome: Outcome) -> str:
    """Return the calls, the table of the dead and the counters; 80 columns where names allow."""
    parts = []
    for number, declared in enumerate(outcome.declared, 1):
        if len(outcome.declared) > 1:
            parts.append(f"call {number} of {len(outcome.declared)}")
        parts.append("\n".join(f"{label:<9} {text}" for label, text in rows.call_rows(declared)))
        parts.append("")
    tasks = rows.task_table(outcome)
    parts += [_lay_out(tasks) if tasks.rows else "no task in the target", ""]
    if outcome.events:
        parts.append(_lay_out(rows.events_table(outcome)))
    if memory := rows.memory_line(outcome):
        parts.append(memory)
    parts += [f"note: {remark}" for remark in rows.remarks(outcome)]
    return "\n".join(parts).rstrip() + "\n"


def _lay_out(table: rows.Table) -> str:
    from tabulate import tabulate

    return tabulate(
        table.rows,
        table.headers,
        tablefmt="simple",
        disable_numparse=True,
        colalign=table.alignment,
    )
