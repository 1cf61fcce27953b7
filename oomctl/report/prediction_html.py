"""A prediction as one HTML page: the ranking as bars, with what would turn the choice marked."""

from collections.abc import Iterable, Iterator, Sequence

from oomctl import commandline
from oomctl.oom.as_text import target_name, task_name
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import Flip
from oomctl.oom.paths import relative
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.reason import reason
from oomctl.oom.task import limit_pages
from oomctl.oom.why import why
from oomctl.report import page
from oomctl.report.bars import CHOSEN, BarGroup, BarRow, tree
from oomctl.report.page import escape
from oomctl.report.prediction_parts import Asked, parts
from oomctl.units import format_size

_MOST_BARS = 30


def render(prediction: Prediction, target: str | None, top: int | None, asked: Asked = ()) -> str:
    """Return the page."""
    where = target_name(target)
    return page.page(f"what OOM would kill on {where}", _page(prediction, target, top, asked))


def _page(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked
) -> Iterator[str]:
    comms = {one.task.pid: one.task.comm for one in prediction.candidates}
    names = ", ".join(task_name(comms[pid], pid) for pid in prediction.victims)
    sentence = f"OOM on {target_name(target)} would kill {names or 'no task'}"
    lead = [f"Why {why(reason(prediction))}"] if prediction.victims else []
    tone: page.Tone = "warn" if prediction.close else "good"
    word = "too close to call" if prediction.close else "predicted"
    yield from page.top(tone, word, sentence, lead)
    yield f'<p class="origin">{escape(" · ".join(commandline.origin().values()))}</p>'
    yield "<h2>Ranking by badness</h2>"
    flips = [flip for _reason, found in asked for flip in found]
    yield ranking(prediction, prediction.victims, target, flips, top)
    yield "<h2>Details</h2>"
    yield from page.parts(parts(prediction, target, top, asked))


def ranking(
    prediction: Prediction,
    dead: Iterable[int],
    target: str | None = None,
    flips: Sequence[Flip] = (),
    top: int | None = None,
) -> str:
    """Return candidates as bars, the first to die first; those of `dead` are struck out.

    `flips` are marked on the bars of their tasks: the badness at which the choice turns.
    """
    page_size = prediction.page_size
    unlimited = prediction.totalpages >= limit_pages(None, page_size)
    weight = 0 if unlimited else prediction.totalpages // 1000 * page_size
    limit = None if unlimited else prediction.totalpages * page_size
    struck = set(dead)
    candidates = prediction.candidates
    shown = [one for one in candidates if one.badness is not None or one.task.pid in struck]
    rows = [
        _row(one, struck, weight, target, [flip for flip in flips if flip.pid == one.task.pid])
        for one in shown[: top or _MOST_BARS]
    ]
    left = len(candidates) - len(rows)
    note = f"and {left} more" if left else ""
    named = "" if limit is None else f"{format_size(limit)}, by which oom_score_adj is scaled"
    key = ""
    if any(row.flips for row in rows):
        key = '<p class="dim">dashed line: where the choice turns</p>'
    return key + tree([BarGroup(target or "/", rows, note)], limit, named, CHOSEN)


def _row(
    one: Candidate, dead: set[int], weight: int, target: str | None, flips: Iterable[Flip]
) -> BarRow:
    task = one.task
    adj = f", adj {task.oom_score_adj}" if task.oom_score_adj else ""
    totals = []
    for flip in flips:
        if flip.after is not None and flip.kind is FlipKind.SIZE:
            totals.append(task.footprint - task.rss + flip.after + task.oom_score_adj * weight)
        elif flip.after is not None and flip.kind is FlipKind.ADJ:
            totals.append(task.footprint + flip.after * weight)
    score = "not eligible" if one.badness is None else f"{one.badness:,} pages"
    return BarRow(
        f"{task_name(task.comm, task.pid)} {relative(task.cgroup, target)}{adj}",
        task.rss,
        task.swap,
        task.pgtables,
        task.oom_score_adj * weight,
        score,
        task.pid in dead,
        tuple(totals),
    )
