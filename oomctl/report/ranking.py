"""A prediction without a declaration, in several forms: everybody's badness and who would die."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from oomctl.describe.sentences import Table
from oomctl.oom.as_json import SCHEMA, candidate_tree
from oomctl.oom.as_text import target_name, task_name
from oomctl.oom.paths import relative
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.report.layout import lay_out
from oomctl.report.markdown import escape
from oomctl.report.table import labelled
from oomctl.text import counted, printable

RankingFormat = Literal["table", "json", "markdown"]

_HEADERS = (
    *("rank", "pid", "comm", "cgroup", "badness", "rss", "swap", "ptes", "adj", "weight"),
    "would",
)
_WORDS = frozenset({"comm", "cgroup", "would"})


def render_table(
    prediction: Prediction, target: str | None, top: int | None, width: int | None = None
) -> str:
    """Return it for a terminal, of that width; everything that is counted is in pages."""
    lines = [f"{label:<10}{text}" for label, text in _summary(prediction, target)]
    if width:
        lines = [labelled(*row, width) for row in _summary(prediction, target)]
    table = _table(prediction, target, top)
    laid = [lay_out(table, "simple", width)] if table.rows else []
    return "\n".join([*lines, "", *laid]) + "\n"


def render_markdown(prediction: Prediction, target: str | None, top: int | None) -> str:
    """Return it as Markdown."""
    lines = [f"- **{label}**: {escape(text)}" for label, text in _summary(prediction, target)]
    table = _table(prediction, target, top)
    cells = [[escape(cell) for cell in row] for row in table.rows]
    laid = lay_out(Table(table.headers, cells, table.numbers), "github") if cells else ""
    return "\n".join([*lines, "", laid]).rstrip("\n") + "\n"


def render_json(prediction: Prediction, target: str | None, top: int | None) -> str:
    """Return one JSON object; `schema` rises when a field changes its meaning or goes."""
    shown = prediction.candidates[:top]
    plain = {
        "schema": SCHEMA,
        "target": target,
        "totalpages": prediction.totalpages,
        "page_size": prediction.page_size,
        "pages_per_adj_point": prediction.totalpages // 1000,
        "victims": list(prediction.victims),
        "group": prediction.group,
        "close": list(prediction.close),
        "candidates": [
            candidate_tree(candidate)
            | {
                "rss_read_bytes": candidate.task.rss_read,
                "slack_bytes": candidate.task.slack,
                "adj_pages": candidate.task.oom_score_adj * (prediction.totalpages // 1000),
            }
            for candidate in shown
        ],
        "candidates_left_out": len(prediction.candidates) - len(shown),
    }
    return json.dumps(plain, indent=2) + "\n"


RENDERERS: dict[RankingFormat, Callable[[Prediction, str | None, int | None], str]] = {
    "table": render_table,
    "json": render_json,
    "markdown": render_markdown,
}


def _summary(prediction: Prediction, target: str | None) -> list[tuple[str, str]]:
    weight = prediction.totalpages // 1000
    rows = [
        ("target", printable(target_name(target))),
        ("would die", _names(prediction, prediction.victims) or _nobody(target)),
    ]
    if prediction.group is not None:
        rows.append(("because", f"memory.oom.group is set in {printable(prediction.group)}"))
    if prediction.close:
        names = _names(prediction, prediction.close)
        rows.append(("or", f"{names}: too close to call"))
    if weight:
        weighs = f"a point of oom_score_adj weighs {weight} pages"
    else:
        weighs = "oom_score_adj weighs nothing, but -1000"
    rows.append(("weight", f"{weighs} (totalpages {prediction.totalpages} / 1000)"))
    passed = Counter(c.excluded for c in prediction.candidates if c.excluded)
    if passed:
        rows.append(("spared", ", ".join(_counted(why, n) for why, n in passed.most_common())))
    return rows


def _counted(why: str, number: int) -> str:
    return counted(number, why, "kernel threads" if why == "kernel thread" else why)


def _nobody(target: str | None) -> str:
    return "nobody; the kernel would panic" if target is None else "nobody"


def _names(prediction: Prediction, pids: Sequence[int]) -> str:
    comms = {candidate.task.pid: candidate.task.comm for candidate in prediction.candidates}
    return ", ".join(task_name(comms[pid], pid) for pid in pids)


def _table(prediction: Prediction, target: str | None, top: int | None) -> Table:
    # kernel threads are counted, not listed: each machine has a hundred of them
    shown = [c for c in prediction.candidates if c.excluded != "kernel thread"][:top]
    rows = [_row(rank, c, prediction, target) for rank, c in enumerate(shown, 1)]
    return Table(_HEADERS, rows, frozenset(_HEADERS) - _WORDS, frozenset({"comm", "cgroup"}))


def _row(
    rank: int, candidate: Candidate, prediction: Prediction, target: str | None
) -> Sequence[str]:
    task, page = candidate.task, prediction.page_size
    chosen = candidate.badness is not None
    would = candidate.excluded or "live"
    if task.pid in prediction.victims:
        would = f"die ({would})" if candidate.excluded else "die"
    return (
        str(rank) if chosen else "-",
        str(task.pid),
        task.comm,
        printable(relative(task.cgroup, target)),
        str(candidate.badness) if chosen else "-",
        *(str(size // page) for size in (task.rss, task.swap, task.pgtables)),
        str(task.oom_score_adj),
        str(task.oom_score_adj * (prediction.totalpages // 1000)) if chosen else "-",
        would,
    )
