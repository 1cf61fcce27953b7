"""Why the OOM killer chose a task, or would not choose it, and how close the choice is. Pure."""

from collections import Counter
from dataclasses import dataclass, replace

from oomctl.oom.enums import Basis, VerdictName, Via
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport
from oomctl.oom.paths import is_within
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.task import OOM_SCORE_ADJ_MIN

MOST_REASONS = 8
"""The choices of one call that get a reason: a limit may have the OOM killer choose hundreds."""


@dataclass(frozen=True)
class Score:
    """The badness of one candidate and its parts, in pages (mm/oom_kill.c, oom_badness).

    `adj` is its oom_score_adj, of which each point weighs `weight` pages.
    """

    pid: int
    comm: str
    cgroup: str
    rss: int
    swap: int
    pgtables: int
    adj: int
    weight: int

    @property
    def footprint(self) -> int:
        """The pages that it holds: rss + swap + page tables."""
        return self.rss + self.swap + self.pgtables

    @property
    def adj_pages(self) -> int:
        """The pages that its oom_score_adj adds or takes off."""
        return self.adj * self.weight

    @property
    def badness(self) -> int:
        """What the kernel compares."""
        return self.footprint + self.adj_pages


@dataclass(frozen=True)
class Reason:
    """Why a task was chosen, would be, or would not; sizes in pages.

    `pid` is None if no task is chosen. `score` and `rank`, counted from 1, are None if it is not
    eligible or not known. `rival` is the best of the other candidates: the runner-up, or the first
    if this task is not the first; of equals the last in scan order is the better one. `eligible`
    counts the candidates that may be chosen, `passed_over` the others by the reason for that
    (`excluded` is the task's own). `largest` is the most that a candidate holds.

    `taken` says that the kernel chose it; otherwise this is what the kernel would do. `close` are
    PIDs that may be chosen in place of the first by the error of the kernel's counters or an
    unknown scan order. `within_error` says whether that explains the choice of this task; it
    is None if the task is the first, and if a choice is not by badness.

    `group` is the cgroup whose memory.oom.group takes all of `dying` with the task but `spared`,
    (PID, comm) of its members with oom_score_adj -1000.
    """

    pid: int | None
    comm: str
    basis: Basis
    score: Score | None
    rank: int | None
    rival: Score | None
    eligible: int
    totalpages: int
    page_size: int
    largest: int = 0
    taken: bool = False
    excluded: str = ""
    passed_over: tuple[tuple[str, int], ...] = ()
    close: tuple[int, ...] = ()
    within_error: bool | None = None
    group: str | None = None
    dying: tuple[int, ...] = ()
    spared: tuple[tuple[int, str], ...] = ()

    @property
    def margin(self) -> int | None:
        """The pages by which it is above its rival; 0 is a tie, negative if it is below."""
        return self.score.badness - self.rival.badness if self.score and self.rival else None

    @property
    def weight(self) -> int:
        """The pages that a point of oom_score_adj weighs."""
        return self.totalpages // 1000


def reason(prediction: Prediction, pid: int | None = None) -> Reason:
    """Return why the OOM killer would choose a task, or would not choose it.

    Without a PID this is the task that it would choose. Tasks need neither `rss_read` nor `slack`;
    without them the choice of another task than the first is not explained. KeyError if the
    prediction does not have the task.
    """
    ranked = [one for one in prediction.candidates if one.badness is not None]
    rank, one = 1, ranked[0] if ranked else None
    if pid is not None and (one is None or one.task.pid != pid):
        places = {each.task.pid: place for place, each in enumerate(prediction.candidates, 1)}
        rank, one = places[pid], prediction.candidates[places[pid] - 1]
    found = Reason(
        pid=None,
        comm="",
        basis=Basis.NO_TASK,
        score=None,
        rank=None,
        rival=next((_score(each, prediction) for each in ranked if each is not one), None),
        eligible=len(ranked),
        totalpages=prediction.totalpages,
        page_size=prediction.page_size,
        largest=max((each.task.pages(prediction.page_size) for each in ranked), default=0),
        passed_over=tuple(_passed_over(prediction).most_common()),
        close=prediction.close,
    )
    if one is None:
        return found
    found = replace(found, pid=one.task.pid, comm=one.task.comm)
    if one.badness is None:
        return replace(found, basis=Basis.NOT_ELIGIBLE, excluded=one.excluded)
    group, dying = prediction.dying_with(one.task)
    return replace(
        found,
        basis=Basis.BADNESS,
        score=_score(one, prediction),
        rank=rank,
        within_error=None if rank == 1 else one.task.pid in prediction.close,
        group=group,
        dying=dying,
        spared=_spared(prediction, group) if group is not None else (),
    )


def reason_of_kill(prediction: Prediction, kill: OomKill) -> Reason:
    """Return why the OOM killer chose the task of this kill; `prediction` is from just before."""
    if all(one.task.pid != kill.pid for one in prediction.candidates):
        first = reason(prediction)
        rival = next((_score(o, prediction) for o in prediction.candidates[: first.eligible]), None)
        unknown = replace(
            first, score=None, rank=None, rival=rival, group=None, dying=(), spared=()
        )
        found = replace(unknown, pid=kill.pid, comm=kill.comm, basis=Basis.UNKNOWN_TASK)
    else:
        found = reason(prediction, kill.pid)
    if kill.allocating:
        found = replace(found, basis=Basis.ALLOCATING_TASK, within_error=None)
    return replace(found, taken=True)


def reasons(report: CallReport) -> tuple[Reason, ...]:
    """Return why each choice of a call was made, in order of time: at most MOST_REASONS.

    A call makes one choice, a limit may make more. It is none if no task was chosen, unless because
    none is eligible. cgroup.kill does not choose.
    """
    now = report.prediction
    if now is None or report.call.via == Via.KILL:
        return ()
    if not report.victims:
        nothing = report.verdict.name == VerdictName.NO_KILLABLE_TASK
        return (reason(now),) if nothing and not now.victims else ()
    kills = [kill for kill in report.kills if kill.pid in report.victims]
    memory = {task.pid: task.memory for task in now.tasks}
    found: list[Reason] = []
    gone: set[int] = set()
    while kills and len(found) < MOST_REASONS:
        ranks = {one.task.pid: rank for rank, one in enumerate(now.candidates)}
        # a log may give the same time to all of a group
        kill = min(kills, key=lambda k: (k.at_ns, ranks.get(k.pid, len(ranks))))
        found.append(reason_of_kill(now, kill))
        target = report.call.target
        unknown = found[-1].basis is Basis.UNKNOWN_TASK
        if unknown and target and kill.cgroup and not is_within(kill.cgroup, target):
            found[-1] = replace(found[-1], basis=Basis.OUTSIDE_TARGET)
        dead = {kill.pid, *found[-1].dying}
        made = {memory.get(pid, pid) for pid in dead}
        gone |= dead | {pid for pid in memory if memory[pid] in made}
        kills = [each for each in kills if each.pid not in gone]
        if kills:
            now = now.without(gone)
    return tuple(found)


def _score(one: Candidate, prediction: Prediction) -> Score:
    task, page = one.task, prediction.page_size
    return Score(
        pid=task.pid,
        comm=task.comm,
        cgroup=task.cgroup,
        rss=task.rss // page,
        swap=task.swap // page,
        pgtables=task.pgtables // page,
        adj=task.oom_score_adj,
        weight=prediction.totalpages // 1000,
    )


def _passed_over(prediction: Prediction) -> Counter[str]:
    return Counter(one.excluded for one in prediction.candidates if one.badness is None)


def _spared(prediction: Prediction, group: str) -> tuple[tuple[int, str], ...]:
    return tuple(
        (task.pid, task.comm)
        for task in prediction.tasks
        if task.oom_score_adj == OOM_SCORE_ADJ_MIN and is_within(task.cgroup, group)
    )
