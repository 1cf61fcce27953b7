"""An outcome as lines of plain text: calls, tasks, counters, kernel log. Pure."""

import re
from collections.abc import Iterator

from oomctl.describe import sentences
from oomctl.oom.outcome import Outcome
from oomctl.oom.paths import relative
from oomctl.units import format_size

_RECORDS = 20
_TELLING = re.compile(r"oom|[Oo]ut of memory|Killed process|going to be killed|suppressed")


def of_outcome(outcome: Outcome) -> Iterator[str]:
    """Tell everything that was seen of an experiment, from the calls to the kernel log."""
    for number, declared in enumerate(outcome.calls, 1):
        for label, text in sentences.call_rows(declared):
            yield f"call {number} {label}: {text}"
    for fated in outcome.tasks:
        where = relative(fated.task.cgroup, outcome.top)
        yield (
            f"task {fated.name or fated.task.comm}: pid {fated.task.pid}, {where}, "
            f"{format_size(fated.charged)}, adj {fated.task.oom_score_adj}, "
            f"{sentences.fate_text(fated, outcome.top)}"
        )
    for cgroup, delta in outcome.moved.items():
        rises = ", ".join(f"{name} {rise:+d}" for name, rise in delta.items() if rise)
        where = relative(cgroup, outcome.top)
        yield f"memory.events of {where}: {rises or 'nothing moved'}"
    records = [record.text for declared in outcome.calls for record in declared.log]
    for text in [text for text in records if _TELLING.search(text)][:_RECORDS]:
        yield f"kernel log: {text}"
