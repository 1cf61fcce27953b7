"""Which oom_score_adj, size or memory.max would turn the choice of the OOM killer. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from oomctl.oom.enums import FlipKind
from oomctl.oom.prediction import Candidates, Prediction
from oomctl.oom.task import OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN, Task, badness, limit_pages

_LARGEST = 1 << 52
"""The bytes that x86-64 and arm64 can have at most, so that no task is larger."""


@dataclass(frozen=True)
class Flip:
    """The nearest value at which a task is chosen, if it was not, or is not chosen, if it was.

    `pid` is the task whose oom_score_adj or rss it is, None for memory.max of the target. `before`
    is the value now, `after` the one that turns the choice: points or bytes, None if no value does.
    One step before `after` (a point, a page) the choice is as now. The values beyond it turn it
    too, up to `until`, None if all do. `before` is None for memory.max `max`.
    `chosen` is the PID that is chosen then, None if no task is, and `victims` are all that die.
    """

    kind: FlipKind
    pid: int | None
    before: int | None
    after: int | None = None
    until: int | None = None
    chosen: int | None = None
    victims: tuple[int, ...] = ()

    @property
    def upwards(self) -> bool:
        """Whether the value has to rise."""
        return self.after is not None and self.before is not None and self.after > self.before


def flips(given: Candidates, pid: int) -> tuple[Flip, ...]:
    """Return what would turn the choice away from a task, or to it if it is not chosen.

    Of each kind there is at least one; memory.max may turn it in both directions, and has none if
    the target has no limit of its own. For the task that would be chosen, those of the runner-up
    follow. A task's oom_score_adj and rss are also those of the tasks that share its memory
    (fs/proc/base.c, __set_oom_adj). The numbers are those of /proc: what the kernel counts
    otherwise (`close` of a prediction) shifts them. KeyError if there is no such task.
    """
    now = given.predict()
    found = [_adj_flip(given, now, pid), _size_flip(given, now, pid)]
    if given.swap is not None:
        found += _limit_flips(given, now, pid)
    ranked = [one.task.pid for one in now.candidates if one.badness is not None]
    if ranked[:1] == [pid] and len(ranked) > 1:
        found += [_adj_flip(given, now, ranked[1]), _size_flip(given, now, ranked[1])]
    return tuple(found)


def changed(given: Candidates, kind: FlipKind, pid: int | None, value: int) -> Candidates:
    """Return the candidates as they are with another value of one kind, see Flip."""
    if kind is FlipKind.LIMIT:
        return replace(given, totalpages=_totalpages(given, value // given.page_size))
    memory = _task(given, pid).memory
    tasks = [_with(t, kind, value) if t.memory == memory else t for t in given.tasks]
    return replace(given, tasks=tasks)


def _with(task: Task, kind: FlipKind, value: int) -> Task:
    if kind is FlipKind.ADJ:
        return replace(task, oom_score_adj=value)
    read = None if task.rss_read is None else max(task.rss_read + value - task.rss, 0)
    return replace(task, rss=value, rss_read=read)


def _totalpages(given: Candidates, limit: int) -> int:
    """Return totalpages for a memory.max in pages (mm/memcontrol.c, mem_cgroup_get_max)."""
    return max(limit + (given.swap or 0), 1)


def _task(given: Candidates, pid: int | None) -> Task:
    found = next((task for task in given.tasks if task.pid == pid), None)
    if found is None:
        raise KeyError(pid)
    return found


def _chosen(prediction: Prediction) -> int | None:
    first = prediction.candidates[0] if prediction.candidates else None
    return first.task.pid if first and first.badness is not None else None


class _Contest:
    """A task against all others: whether it is chosen with another oom_score_adj or rss.

    Those that share its memory change with it; the best of the rest stays as it is.
    """

    def __init__(self, given: Candidates, pid: int) -> None:
        self._given = given
        self.task = _task(given, pid)
        places = list(enumerate(given.tasks))
        self._ours = [(p, t) for p, t in places if t.memory == self.task.memory]
        others = [(p, t) for p, t in places if t.memory != self.task.memory and t.killable]
        self.best = max((self._score(p, t) for p, t in others), default=None)

    def _score(self, place: int, task: Task) -> tuple[int, int]:
        """Return what decides: of equal badness the last in scan order is chosen."""
        return badness(task, self._given.totalpages, self._given.page_size), place

    def is_chosen(self, kind: FlipKind, value: int) -> bool:
        """Tell whether the task is chosen with this value."""
        ours = [(p, _with(task, kind, value)) for p, task in self._ours]
        scores = [(self._score(p, t), t.pid) for p, t in ours if t.killable]
        if not scores:
            return False
        score, pid = max(scores)
        return pid == self.task.pid and (self.best is None or score > self.best)


def _adj_flip(given: Candidates, now: Prediction, pid: int) -> Flip:
    contest = _Contest(given, pid)
    adj = contest.task.oom_score_adj
    if _chosen(now) == pid:
        values = range(adj - 1, OOM_SCORE_ADJ_MIN - 1, -1)
    else:
        values = range(adj + 1, OOM_SCORE_ADJ_MAX + 1)
    flip = Flip(FlipKind.ADJ, pid, adj)
    return _searched(given, now, flip, values, lambda value: contest.is_chosen(flip.kind, value))


def _size_flip(given: Candidates, now: Prediction, pid: int) -> Flip:
    contest = _Contest(given, pid)
    task, page = contest.task, given.page_size
    pages = task.rss // page
    if _chosen(now) == pid:
        values = range((pages - 1) * page, -1, -page)
    else:
        best = contest.best[0] if contest.best else 0
        most = pages + max(best - badness(task, given.totalpages, page), 0) + 1
        values = range((pages + 1) * page, min((most + 1) * page, _LARGEST), page)
    flip = Flip(FlipKind.SIZE, pid, task.rss)
    return _searched(given, now, flip, values, lambda value: contest.is_chosen(flip.kind, value))


def _searched(
    given: Candidates, now: Prediction, flip: Flip, values: range, chosen: Callable[[int], bool]
) -> Flip:
    """Return the flip at the first of the values that turns the choice; all after it do too."""
    was = _chosen(now) == flip.pid
    place = bisect_left(values, True, key=lambda value: chosen(value) is not was)
    if place == len(values):
        return flip
    before = values[place - 1] if place else None
    return _proved(given, now, replace(flip, after=values[place]), before, flip.pid)


def _limit_flips(given: Candidates, now: Prediction, pid: int) -> Iterator[Flip]:
    """Yield the flips of memory.max downwards and upwards; one without a value if there are none.

    oom_score_adj weighs by totalpages / 1000, rounded down: a step is 1000 pages long. Each other
    task bounds the weights with which this one is chosen from one side, so they are an interval.
    """
    page, swap = given.page_size, given.swap or 0
    limit, weight = given.totalpages - swap, given.totalpages // 1000
    most = limit_pages(None, page)
    flip = Flip(FlipKind.LIMIT, None, None if limit >= most else limit * page)
    low, high = _weights(given, pid, (most + swap) // 1000)
    was = _chosen(now) == pid
    down = up = None
    if was:
        down, up = low - 1, high + 1
    elif low <= high:
        down, up = (high, None) if weight > high else (None, low)
    found = False
    # lowered, the last page of a step is the nearest one; raised, it is the first
    if down is not None and (pages := 1000 * (down + 1) - 1 - swap) >= 0 and down >= 0:
        until = None if was or low == 0 else max(1000 * low - swap, 0) * page
        found = True
        after = replace(flip, after=pages * page, until=until or None)
        yield _proved(given, now, after, (pages + 1) * page, pid)
    if up is not None and (pages := 1000 * up - swap) < most:
        until = None if was or high >= (most + swap) // 1000 else (1000 * high + 999 - swap) * page
        found = True
        after = replace(flip, after=pages * page, until=until)
        yield _proved(given, now, after, (pages - 1) * page, pid)
    if not found:
        yield flip


def _weights(given: Candidates, pid: int, most: int) -> tuple[int, int]:
    """Return the lowest and the highest pages per point with which a task is chosen.

    The lowest is above the highest if there are none.
    """
    low, high = 0, most
    place, task = next((p, t) for p, t in enumerate(given.tasks) if t.pid == pid)
    if not task.killable:
        return 1, 0
    for other_place, other in enumerate(given.tasks):
        if other is task or not other.killable:
            continue
        ahead = task.pages(given.page_size) - other.pages(given.page_size)
        points = task.oom_score_adj - other.oom_score_adj
        least = 0 if place > other_place else 1  # of equals the last is chosen
        # ahead + points * weight >= least
        if points > 0:
            low = max(low, -((ahead - least) // points))
        elif points < 0:
            high = min(high, (ahead - least) // -points)
        elif ahead < least:
            return 1, 0
    return low, high


def _proved(
    given: Candidates, now: Prediction, flip: Flip, step_before: int | None, pid: int | None
) -> Flip:
    """Return the flip with those that die by it; the model must turn there, and not a step before.

    RuntimeError if it does not, which is a fault of this module.
    """
    after = changed(given, flip.kind, flip.pid, flip.after or 0).predict()
    before = now
    if step_before is not None:
        before = changed(given, flip.kind, flip.pid, step_before).predict()
    was = _chosen(now) == pid
    if (_chosen(before) == pid) is not was or (_chosen(after) == pid) is was:
        raise RuntimeError(f"the model does not turn at {flip}")
    return replace(flip, chosen=_chosen(after), victims=after.victims)
