"""An outcome as lines of plain text: calls, tasks, counters, kernel log. Pure."""

import re
from collections.abc import Iterator

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import counts_text
from oomctl.describe.task_text import fate_text
from oomctl.oom.outcome import Outcome
from oomctl.oom.paths import relative
from oomctl.text import printable
from oomctl.units import format_size

_RECORDS = 20
_OF_OOM = re.compile(r"oom|[Oo]ut of memory|Killed process|going to be killed|suppressed")


def of_outcome(outcome: Outcome) -> Iterator[str]:
    """Yield everything that was seen of an experiment, from the calls to the kernel log."""
    yield from map(printable, _lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    for number, call in enumerate(outcome.calls, 1):
        yield from (f"call {number} {label}: {text}" for label, text in call_rows(call))
    for task in outcome.tasks:
        where = relative(task.task.cgroup, outcome.top)
        yield (
            f"task {task.name or task.task.comm}: pid {task.task.pid}, {where}, "
            f"{format_size(task.charged)}, adj {task.task.oom_score_adj}, "
            f"{fate_text(task, outcome.top)}"
        )
    for cgroup, counters in outcome.moved.items():
        rises = ", ".join(f"{name} {rise:+d}" for name, rise in counters.items() if rise)
        where = relative(cgroup, outcome.top)
        yield f"memory.events of {where}: {rises or 'no counter changed'}"
    if outcome.counts:
        yield f"kills: {counts_text(outcome.counts)}"
    records = [record.text for call in outcome.calls for record in call.log]
    for text in [text for text in records if _OF_OOM.search(text)][:_RECORDS]:
        yield f"kernel log: {text}"
