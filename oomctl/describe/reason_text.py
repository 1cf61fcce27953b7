"""The reason of a choice as labelled lines: the sentence, the parts of the badness, the group."""

from collections.abc import Iterator

from oomctl.oom.as_text import task_name
from oomctl.oom.reason import Reason, Score
from oomctl.oom.why import rival_name, why
from oomctl.text import counted
from oomctl.units import format_size

_MOST_SPARED = 5


def margin_text(pages: int, page_size: int) -> str:
    """Say how far a badness is from another, in pages: 1 page (4K) above."""
    noun, order = "page" if abs(pages) == 1 else "pages", "above" if pages >= 0 else "below"
    return f"{abs(pages):,} {noun} ({format_size(abs(pages) * page_size)}) {order}"


def reason_rows(reason: Reason) -> Iterator[tuple[str, str]]:
    """Yield one reason as labels and texts, the sentence first."""
    yield "why", why(reason)
    if reason.score:
        yield "badness", "; ".join(_badness(reason, reason.score))
    if reason.group is not None:
        yield "group", group_text(reason)


def group_text(reason: Reason) -> str:
    """Say which cgroup's memory.oom.group takes how many tasks, and which ones are spared."""
    tasks = counted(len(reason.dying), "task")
    text = f"memory.oom.group of {reason.group} takes {tasks}"
    if reason.spared:
        names = ", ".join(task_name(comm, pid) for pid, comm in reason.spared[:_MOST_SPARED])
        more = len(reason.spared) - _MOST_SPARED
        names += f" and {more} more" if more > 0 else ""
        text += f", but not {names} with oom_score_adj -1000"
    return text


def _badness(reason: Reason, score: Score) -> Iterator[str]:
    parts = {"swap": score.swap, "page tables": score.pgtables}
    held = "".join(f" + {name} {pages:,}" for name, pages in parts.items() if pages)
    if score.adj_pages:
        held += f" {'-' if score.adj_pages < 0 else '+'} adj {abs(score.adj_pages):,}"
    yield f"rss {score.rss:,}{held} = {score.badness:,} pages"
    yield f"rank {reason.rank} of {reason.eligible}"
    if reason.margin:
        yield f"{margin_text(reason.margin, reason.page_size)} {rival_name(reason)}"
