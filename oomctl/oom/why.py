"""The reason of a choice as one plain sentence. Pure."""

from collections.abc import Iterable

from oomctl.oom.as_text import task_name
from oomctl.oom.enums import Basis
from oomctl.oom.reason import Reason, Score
from oomctl.oom.task import limit_pages
from oomctl.text import counted

_WORDS = {
    "kernel thread": ("kernel thread", "kernel threads"),
    "adj -1000": ("task with oom_score_adj -1000", "tasks with oom_score_adj -1000"),
}


def why(reason: Reason) -> str:
    """Say why a task was chosen, would be or would not, such as "large: 16,398 pages; next ...".

    A task is named by its comm, with the PID if its rival has the same one. Badness is in pages.
    """
    match reason.basis:
        case Basis.NO_TASK:
            return _no_task(reason)
        case Basis.UNKNOWN_TASK:
            return f"{_name(reason)} was started after the candidates were read{_first(reason)}"
        case Basis.OUTSIDE_TARGET:
            return f"{_name(reason)} is outside the target, so it was no candidate{_first(reason)}"
        case Basis.NOT_ELIGIBLE:
            return f"{_name(reason)} is not eligible: {reason.excluded}{_first(reason)}"
        case Basis.ALLOCATING_TASK:
            by_badness = "; by badness it is the first too" if reason.rank == 1 else _first(reason)
            asked = "it asked for memory, and vm.oom_kill_allocating_task is set"
            return f"{_name(reason)}: {asked}{by_badness}"
    return f"{_name(reason)}: {_by_badness(reason)}{_weightless(reason)}{_error(reason)}"


def passed_over_text(passed_over: Iterable[tuple[str, int]]) -> str:
    """List why tasks are not eligible: "60 kernel threads, 2 tasks with oom_score_adj -1000"."""
    return ", ".join(counted(number, *_WORDS.get(why, (why, why))) for why, number in passed_over)


def rival_name(reason: Reason) -> str:
    """Name the rival, with the PID if it has the same comm as the task."""
    return _called(reason.rival, reason.comm) if reason.rival else "-"


def _name(reason: Reason) -> str:
    same = reason.rival and reason.rival.comm == reason.comm
    return task_name(reason.comm, reason.pid or 0) if same else reason.comm


def _called(score: Score, other: str) -> str:
    return task_name(score.comm, score.pid) if score.comm == other else score.comm


def _no_task(reason: Reason) -> str:
    if reason.rival:
        return f"no task{_first(reason)}"
    passed_over = passed_over_text(reason.passed_over)
    return f"no task is eligible: {passed_over}" if passed_over else "there is no task"


def _first(reason: Reason) -> str:
    if not reason.rival:
        return ""
    return f"; by badness {rival_name(reason)} is the first: {_sum(reason.rival)}"


def _by_badness(reason: Reason) -> str:
    score, rival = reason.score, reason.rival
    if score is None:
        return "its badness is unknown"
    rank = "" if reason.rank == 1 else f", rank {reason.rank} of {reason.eligible}"
    if rival is None:
        return f"{_sum(score)}{rank}; the only candidate"
    name, margin = rival_name(reason), score.badness - rival.badness
    if score.adj != rival.adj and reason.weight > reason.largest:
        unlimited = reason.totalpages >= limit_pages(None, reason.page_size)
        least = "without a limit a point" if unlimited else "a point"
        outranks = f"{least} weighs {reason.weight:,} pages, more than any candidate holds"
        word = "next" if reason.rank == 1 else "first"
        return f"oom_score_adj {score.adj}{rank}, {word} {name}: {rival.adj}; {outranks}"
    if margin == 0:
        order = "of equals the last in scan order is chosen"
        return f"{_sum(score)}{rank}; {name} has the same, and {order}"
    if reason.rank == 1:
        return f"{_sum(score)}; next {name}: {rival.badness:,}"
    return f"{_sum(score)}{rank}; first {name}: {rival.badness:,}, {-margin:,} more"


def _sum(score: Score) -> str:
    pages = f"{score.footprint:,} {'page' if score.footprint == 1 else 'pages'}"
    if not score.adj_pages:
        return pages
    sign, points = ("-", -score.adj) if score.adj < 0 else ("+", score.adj)
    return f"{pages} {sign} {points} x {score.weight:,} for oom_score_adj = {score.badness:,}"


def _weightless(reason: Reason) -> str:
    """Say that oom_score_adj weighs nothing, if one of the two has one."""
    if reason.weight or not any(one and one.adj for one in (reason.score, reason.rival)):
        return ""
    return "; oom_score_adj weighs nothing below 1,000 pages of limit"


def _error(reason: Reason) -> str:
    if reason.within_error:
        return "; too close to call"
    wrong = reason.taken and reason.within_error is False
    return "; more than the error of the kernel's counters" if wrong else ""
