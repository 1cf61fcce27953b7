"""Calls of one run for people: a block of lines for each, or where they are many a row. Pure."""

from collections import Counter
from collections.abc import Sequence

from oomctl.describe.sentences import Table, call_rows, call_text
from oomctl.oom.as_text import returned
from oomctl.oom.outcome import CallReport, Outcome
from oomctl.oom.paths import relative
from oomctl.text import printable
from oomctl.units import format_duration

_MOST_BLOCKS = 8
_COUNTED = ("returned", "evidence")
_WORDS = {None: "-", True: "yes", False: "NO"}


def many(outcome: Outcome) -> bool:
    """Tell whether there are too many calls for a block each."""
    return len(outcome.calls) > _MOST_BLOCKS


def common_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """Return what many calls share as label and text, and how many came to what."""
    each = [dict(call_rows(declared)) for declared in outcome.calls]
    found = []
    for label in ("target", "call", *_COUNTED):
        texts = Counter(one[label] for one in each)
        if len(texts) == 1:
            found += [(label, text) for text in texts]
        elif label in _COUNTED:
            found += [(label, f"{n} of {len(each)}: {text}") for text, n in texts.items()]
    verdict = outcome.verdict
    return [*found, ("verdict", printable(f"{verdict.name} of all: {verdict.reason}"))]


def table(outcome: Outcome) -> Table:
    """Return many calls, one a row; where they differ in target or arguments, with these."""
    calls = outcome.calls
    columns = {
        "call": [str(number) for number in range(1, len(calls) + 1)],
        "target": _differing([_target(one, outcome.top) for one in calls]),
        "how": _differing([call_text(one.call) for one in calls]),
        "returned": [returned(one.result.ret) for one in calls],
        "took": [format_duration(one.result.duration_ns) for one in calls],
        "verdict": [one.verdict.name for one in calls],
        "killed": [_killed(one) for one in calls],
        "predicted": [_WORDS[one.as_predicted] for one in calls],
    }
    shown = {header: cells for header, cells in columns.items() if cells}
    rows = [[*map(printable, row)] for row in zip(*shown.values(), strict=True)]
    numbers = frozenset({"call", "returned", "took"})
    return Table([*shown], rows, numbers, frozenset({"target", "killed"}))


def _differing(cells: Sequence[str]) -> Sequence[str]:
    return cells if len(set(cells)) > 1 else ()


def _target(declared: CallReport, top: str | None) -> str:
    target = declared.call.target
    return "NULL" if target is None else relative(target, top)


def _killed(declared: CallReport) -> str:
    if len(declared.kills) > 1:
        return f"{len(declared.kills)} tasks"
    return next((f"{kill.comm}:{kill.pid}" for kill in declared.kills), "-")
