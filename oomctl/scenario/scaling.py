"""The sizes, limits and oom_score_adj of a subtree at a scale, with the same victim. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from oomctl.oom.paths import is_within
from oomctl.oom.prediction import Prediction, predict
from oomctl.oom.subtree import TOP, CgroupState, MemberTask, Subtree
from oomctl.oom.task import OOM_SCORE_ADJ_MIN, Task, memcg_pages

_M = 1 << 20
_OVERHEAD = 52 << 10
"""What an idle hog adds to its badness: its own pages and page tables (oomctl/hog/hog.c)."""
_PER_TABLE = 512  # a page of page tables maps that many pages
_MARGIN = _M
"""By how much the victim is first, because kernels before 7.3 read RSS with an error per CPU."""
_CHARGED_PER_HOG, _CHARGED_PER_THREAD, _CHARGED_PER_CGROUP = 256 << 10, 32 << 10, 256 << 10
_LEAST = 8 * _M
"""Below 1000 pages oom_score_adj would weigh nothing."""
_TRIES = 16
_TOO_MUCH = 1 << 50
"""Bytes that no size makes up for, if oom_score_adj outranks every size for lack of a limit."""


@dataclass(frozen=True)
class ScaledTask:
    """A task as a hog: the bytes that it fills, its oom_score_adj, its predicted badness in bytes.

    `added` are the bytes that were added to make it the first.
    """

    member: MemberTask
    size: int
    oom_score_adj: int
    badness: int
    added: int = 0


@dataclass(frozen=True)
class Scaled:
    """A subtree at a scale; `cgroups` have the limits that all of its hogs fit below.

    `before` and `after` predict the victims of the original and of the scaled subtree, `by_limit`
    those if memory.max of the scaled one is lowered to its usage.
    """

    cgroups: tuple[CgroupState, ...]
    tasks: tuple[ScaledTask, ...]
    before: Prediction
    after: Prediction
    by_limit: Prediction

    @property
    def out_of_order(self) -> int:
        """The number of tasks whose rank by badness is not that of the original."""
        ranks = [
            [each.task.pid for each in one.candidates if each.badness is not None]
            for one in (self.before, self.after)
        ]
        return sum(old != new for old, new in zip(*ranks, strict=True))


def scaled(subtree: Subtree, scale: Fraction, victim: int | None = None) -> Scaled:
    """Return the subtree at a scale, in which the task with the PID `victim` is the first.

    Without one it is the predicted one. Every task holds its memory in RAM, so the swap that a
    cgroup may use becomes a part of its memory.max. A limit that the hogs do not fit below is
    raised; if it is the top's, which oom_score_adj weighs by, oom_score_adj is lowered as much.
    """
    before = subtree.predict()
    first = before.candidates[0].task.pid if before.victims and victim is None else victim
    while first in subtree.sharers:
        first = subtree.sharers[first]
    limit = _folded(subtree, subtree.top)
    total = None if limit is None else max(_round_up(int(limit * scale), subtree.page_size), _LEAST)
    for _ in range(_TRIES):
        tasks = _Weights(subtree, scale, total).tasks(first)
        needed = _room(subtree, tasks, TOP)
        if total is None or needed <= total:
            break
        total = _round_up(needed * 33 // 32, _M)
    cgroups = tuple(_limits(subtree, each, scale, tasks) for each in subtree.cgroups)
    top = replace(cgroups[0], max=total)
    after, by_limit = (
        predict([_as_hog(each) for each in tasks], pages, subtree.page_size, subtree.groups)
        for pages in (
            memcg_pages(total, 0, 0, subtree.page_size),
            memcg_pages(_charged(subtree, tasks), 0, 0, subtree.page_size),
        )
    )
    return Scaled((top, *cgroups[1:]), tuple(tasks), before, after, by_limit)


@dataclass(frozen=True)
class _Weights:
    """Sizes and oom_score_adj below a limit of `total` bytes; None for no limit."""

    subtree: Subtree
    scale: Fraction
    total: int | None

    @property
    def point(self) -> int:
        """The bytes that one point of oom_score_adj weighs."""
        return self._point(memcg_pages(self.total, 0, 0, self.subtree.page_size))

    def _point(self, totalpages: int) -> int:
        return totalpages // 1000 * self.subtree.page_size

    def tasks(self, first: int | None) -> list[ScaledTask]:
        tasks = [self._task(each) for each in self.subtree.tasks]
        alike = {first, *(pid for pid, shares in self.subtree.sharers.items() if shares == first)}
        others = [
            each.badness
            for each in tasks
            if each.member.task.killable and each.member.task.pid not in alike
        ]
        for place, each in enumerate(tasks):
            lacks = max(others, default=-_TOO_MUCH) + _MARGIN - each.badness
            if each.member.task.pid in alike and 0 < lacks < _TOO_MUCH:
                tasks[place] = self._with(each, lacks)
        return tasks

    def _task(self, member: MemberTask) -> ScaledTask:
        task = member.task
        adj, wanted = task.oom_score_adj, int(task.footprint * self.scale)
        if not task.killable:
            adj = OOM_SCORE_ADJ_MIN
        if self.total is not None and adj != OOM_SCORE_ADJ_MIN:
            # what adj weighs less, for its rounding and that of the limit, is in the size
            old = self.subtree.totalpages
            weight = int(adj * self._point(old) * self.scale)
            adj = round(adj * old * self.subtree.page_size * self.scale / self.total)
            wanted += weight - adj * self.point
        size = max(wanted - _overhead(member), 0) * _PER_TABLE // (_PER_TABLE + 1)
        return self._with(ScaledTask(member, size, adj, 0), 0)

    def _with(self, task: ScaledTask, added: int) -> ScaledTask:
        size = _round_up(task.size + added, self.subtree.page_size)
        held = size + size // _PER_TABLE + _overhead(task.member)
        badness = held + task.oom_score_adj * self.point
        return replace(task, size=size, badness=badness, added=task.added + added)


def _overhead(member: MemberTask) -> int:
    return _OVERHEAD + 4096 * (member.threads if member.threads > 1 else 0)


def _as_hog(each: ScaledTask) -> Task:
    task = each.member.task
    held = each.size + each.size // _PER_TABLE + _overhead(each.member)
    return replace(task, oom_score_adj=each.oom_score_adj, rss=held, swap=0, pgtables=0, slack=0)


def _folded(subtree: Subtree, cgroup: CgroupState) -> int | None:
    """Return memory.max with the swap that may be used beside it."""
    if cgroup.max is None:
        return None
    swap = subtree.swap if cgroup.swap_max is None else min(cgroup.swap_max, subtree.swap)
    return cgroup.max + swap


def _limits(
    subtree: Subtree, cgroup: CgroupState, scale: Fraction, tasks: Sequence[ScaledTask]
) -> CgroupState:
    """Return a cgroup with limits at a scale that the hogs below it fit below."""
    needed = _room(subtree, tasks, cgroup.path)
    limit, page = _folded(subtree, cgroup), subtree.page_size

    def at_scale(size: int) -> int:
        return _round_up(int(size * scale), page)

    top = None if limit is None else max(at_scale(limit), needed)
    # above memory.high the hogs would be throttled while they fill
    high = None if cgroup.high is None else at_scale(cgroup.high)
    low, least = (
        top if size is None else min(at_scale(size), size if top is None else top)
        for size in (cgroup.low, cgroup.min)
    )
    high = None if high is None or high < needed else high
    return replace(cgroup, max=top, high=high, low=low, min=least, swap_max=None)


def _room(subtree: Subtree, tasks: Sequence[ScaledTask], path: str) -> int:
    """Return the bytes that hogs below a cgroup are charged at most, and what they cost beside."""
    cgroups = sum(is_within(each.path, path) for each in subtree.cgroups)
    room = 2 * _M + cgroups * _CHARGED_PER_CGROUP
    below = [each for each in tasks if is_within(each.member.task.cgroup, path)]
    for each in below:
        room += _CHARGED_PER_HOG + (each.member.threads - 1) * _CHARGED_PER_THREAD
    return _round_up(room + _charged(subtree, below), 4096)


def _charged(subtree: Subtree, tasks: Iterable[ScaledTask]) -> int:
    """Return the bytes of the hogs' memory; those that share it do not count."""
    own = (each for each in tasks if each.member.task.pid not in subtree.sharers)
    return sum(each.size + each.size // _PER_TABLE for each in own)


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
