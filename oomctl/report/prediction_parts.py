"""A prediction without a call, as parts: the badness of every task, and which tasks would die."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oomctl.describe.flip_text import flip_text
from oomctl.describe.reason_text import group_text, reason_rows
from oomctl.oom.as_text import target_name, task_name
from oomctl.oom.flip import Flip
from oomctl.oom.paths import relative
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.reason import Reason, reason
from oomctl.oom.why import passed_over_text, why
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text

_HEADERS = (
    *("rank", "pid", "comm", "cgroup", "badness", "rss", "swap", "ptes", "adj", "weight"),
    "would",
)
_NAMES = ("comm", "cgroup")
_ROOMY, _BAR = 100, 12  # columns of a terminal with room for bars, and of the longest bar
_NUMBERS = frozenset(_HEADERS) - {*_NAMES, "would"}
SPARE = ("swap", "adj", "weight")
"""Columns that are often zero for every task."""


Asked = Sequence[tuple[Reason, Sequence[Flip]]]
"""Why each task that was asked about would die or live, and what would change that."""


def render_text(
    prediction: Prediction,
    target: str | None,
    top: int | None,
    asked: Asked = (),
    terminal: int | None = None,
) -> str:
    """Return the prediction as text; everything that is counted is in pages."""
    made = [*parts(prediction, target, top, asked)]
    if terminal is not None and terminal >= _ROOMY:
        made = [_with_bars(part) if isinstance(part, Table) else part for part in made]
    return as_text(made, terminal=terminal)


def render_markdown(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked = ()
) -> str:
    """Return the prediction as Markdown."""
    return as_markdown(parts(prediction, target, top, asked))


def parts(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked
) -> Iterator[Part]:
    """Yield the prediction as parts."""
    # kernel threads are counted, not listed: each machine has a hundred of them
    shown = [c for c in prediction.candidates if c.excluded != "kernel thread"][:top]
    rows = [_row(rank, c, prediction, target) for rank, c in enumerate(shown, 1)]
    yield Lines(_summary(prediction, target))
    yield Table(_HEADERS, rows, _NUMBERS, _NAMES, spare=SPARE)
    comms = {candidate.task.pid: candidate.task.comm for candidate in prediction.candidates}
    for one, flips in asked:
        would = "die" if one.pid in prediction.victims else "live"
        yield Heading(f"Why {task_name(one.comm, one.pid or 0)} would {would}")
        lines = [*reason_rows(one)]
        lines += [("turns at", flip_text(flip, comms, prediction.page_size)) for flip in flips]
        yield Lines(lines)


def _with_bars(table: Table) -> Table:
    """Add a column of bars, each as long as the badness of its task."""
    at = table.headers.index("badness")
    scores = [max(int(row[at]), 0) if row[at] != "-" else 0 for row in table.rows]
    most = max(scores, default=0) or 1
    bars = ["█" * -(-_BAR * score // most) for score in scores]
    rows = [[*row, bar] for row, bar in zip(table.rows, bars, strict=True)]
    return replace(table, headers=[*table.headers, ""], rows=rows)


def _summary(prediction: Prediction, target: str | None) -> list[tuple[str, str]]:
    weight = prediction.totalpages // 1000
    no_task = "no task; the kernel would panic" if target is None else "no task"
    rows = [
        ("target", target_name(target)),
        ("would die", _names(prediction, prediction.victims) or no_task),
    ]
    chosen = reason(prediction)
    if prediction.victims:
        rows.append(("why", why(chosen)))
    if prediction.group is not None:
        rows.append(("group", group_text(chosen)))
    if prediction.close:
        rows.append(("or", f"{_names(prediction, prediction.close)}: too close to call"))
    if weight:
        weighs = f"a point of oom_score_adj weighs {weight} pages"
    else:
        weighs = "oom_score_adj weighs nothing, except -1000"
    rows.append(("weight", f"{weighs} (totalpages {prediction.totalpages} / 1000)"))
    if chosen.passed_over:
        rows.append(("excluded", passed_over_text(chosen.passed_over)))
    return rows


def _names(prediction: Prediction, pids: Sequence[int]) -> str:
    comms = {candidate.task.pid: candidate.task.comm for candidate in prediction.candidates}
    return ", ".join(task_name(comms[pid], pid) for pid in pids)


def _row(
    rank: int, candidate: Candidate, prediction: Prediction, target: str | None
) -> Sequence[str]:
    task, page = candidate.task, prediction.page_size
    eligible = candidate.badness is not None
    would = candidate.excluded or "live"
    if task.pid in prediction.victims:
        would = f"die ({would})" if candidate.excluded else "die"
    return (
        str(rank) if eligible else "-",
        str(task.pid),
        task.comm,
        relative(task.cgroup, target),
        str(candidate.badness) if eligible else "-",
        *(str(size // page) for size in (task.rss, task.swap, task.pgtables)),
        str(task.oom_score_adj),
        str(task.oom_score_adj * (prediction.totalpages // 1000)) if eligible else "-",
        would,
    )
