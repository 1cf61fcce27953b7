"""The predicted victims: oom_badness() of the tasks in /proc just before the call. Pure."""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field, replace

from oomctl.oom.paths import ancestors, is_within
from oomctl.oom.task import Task, badness, rank


@dataclass(frozen=True)
class Candidate:
    """One task and its badness in pages; None if the OOM killer skips it, and why."""

    task: Task
    badness: int | None
    excluded: str = ""


@dataclass(frozen=True)
class Prediction:
    """The ranking of a target, highest badness first; `victims` are the PIDs that should die.

    More than one victim means memory.oom.group of `group` (a cgroup's path). `totalpages` is what
    the kernel scales oom_score_adj by. `close` are the PIDs whose badness is so near the first's
    that what the kernel counts per CPU, or an order of its scan that no file shows, may turn the
    choice; `instead` has the PIDs that die if it does, once for each of them or for their group.
    `given` is the input; None if it is not known.
    """

    candidates: tuple[Candidate, ...]
    totalpages: int
    page_size: int
    victims: tuple[int, ...]
    group: str | None = None
    close: tuple[int, ...] = ()
    instead: tuple[tuple[int, ...], ...] = ()
    given: "Candidates | None" = field(default=None, repr=False)

    def agrees(self, killed: frozenset[int], more: bool = False) -> bool:
        """Tell whether these died, and no others unless there may be `more`."""
        return _killed_are(self.victims, killed, more)

    @property
    def tasks(self) -> Sequence[Task]:
        """All tasks of the target; in scan order if the input is known."""
        return self.given.tasks if self.given else [one.task for one in self.candidates]

    def without(self, pids: Collection[int]) -> "Prediction":
        """Predict the next choice, after these PIDs were taken."""
        given = self.given or Candidates(self.tasks, self.totalpages, self.page_size, frozenset())
        return given.predict(pids)

    def dying_with(self, chosen: Task) -> tuple[str | None, tuple[int, ...]]:
        """Return the cgroup that dies as a whole if a task is chosen, if any, and the PIDs."""
        if self.group is not None and is_within(chosen.cgroup, self.group):
            return self.group, self.victims
        deaths = Deaths(self.tasks, self.given.groups if self.given else frozenset())
        return deaths.group(chosen), deaths.with_(chosen)

    def explains(self, killed: frozenset[int], more: bool = False) -> bool:
        """Tell whether exactly those died that die if the kernel chooses one of `close`."""
        return any(_killed_are(pids, killed, more) for pids in self.instead)


def _killed_are(pids: Collection[int], killed: frozenset[int], more: bool) -> bool:
    return killed == frozenset(pids) or (more and bool(pids) and killed > frozenset(pids))


@dataclass(frozen=True)
class Candidates:
    """The input of a prediction, as it was just before a call; see predict().

    `swap` are the pages of `totalpages` that are swap, the others are memory.max of the target;
    None if the target has no limit of its own.
    """

    tasks: Sequence[Task]
    totalpages: int
    page_size: int
    groups: Set[str]
    swap: int | None = None

    def predict(self, without: Collection[int] = ()) -> Prediction:
        """Predict, leaving out the PIDs that the OOM killer has taken since."""
        left = self.without(without) if without else self
        return predict(left.tasks, left.totalpages, left.page_size, left.groups)

    def without(self, pids: Collection[int]) -> "Candidates":
        """Return the same without some PIDs."""
        return replace(self, tasks=[task for task in self.tasks if task.pid not in pids])

    def members(self, group: str) -> tuple[int, ...]:
        """Return the PIDs that die if memory.oom.group of a cgroup takes effect."""
        return _members(self.tasks, group)


def predict(tasks: Sequence[Task], totalpages: int, page_size: int, groups: Set[str]) -> Prediction:
    """Predict the task that the OOM killer chooses, and those that die with it.

    `tasks` are those of the target in scan order, `totalpages` is as for badness(), `groups` the
    paths of the cgroups with memory.oom.group, from the target downwards; what is set above the
    target does not count (mm/memcontrol.c, mem_cgroup_get_oom_group).
    """
    ranking = rank(tasks, totalpages, page_size)
    candidates = [Candidate(task, score) for score, task in ranking]
    candidates += [Candidate(task, None, task.excluded) for task in tasks if task.excluded]
    first = ranking[0][1] if ranking else None
    close = _close(tasks, totalpages, page_size, first) if first else []
    deaths = Deaths(tasks, groups)
    instead = {deaths.group(task) or task.pid: task for task in close}
    return Prediction(
        candidates=tuple(candidates),
        totalpages=totalpages,
        page_size=page_size,
        victims=deaths.with_(first) if first else (),
        group=deaths.group(first) if first else None,
        close=tuple(task.pid for task in close),
        instead=tuple(deaths.with_(task) for task in instead.values()),
        given=Candidates(tasks, totalpages, page_size, groups),
    )


def _close(tasks: Sequence[Task], totalpages: int, page_size: int, first: Task) -> list[Task]:
    """Return the other tasks that may be chosen, in scan order.

    These are the first task in the view of a kernel that does not sum its per-CPU counters, and in
    both views each task whose highest score reaches the lowest of the first. Of equal scores the
    last in scan order wins, if that order is known.
    """
    as_read = [t if t.rss_read is None else replace(t, rss=t.rss_read) for t in tasks]
    places: set[int] = set()
    for view in (tasks, as_read):
        eligible = [place for place, task in enumerate(view) if task.killable]
        score = {place: badness(view[place], totalpages, page_size) for place in eligible}
        slack = {place: -(-view[place].slack // page_size) for place in eligible}
        top = max(eligible, key=lambda place: (score[place], place))
        least = score[top] - slack[top]
        equal = {view[p].cgroup: p for p in eligible if score[p] + slack[p] == least}
        places |= {top, *(p for p in eligible if (score[p] + slack[p], p) > (least, top))}
        places |= {place for place in equal.values() if _unordered(view[place], view[top])}
    return [tasks[place] for place in sorted(places) if tasks[place] is not first]


def _unordered(one: Task, other: Task) -> bool:
    """Tell whether the scan order of two tasks is unknown.

    Cgroups without the memory controller are scanned in the order in which processes first joined
    them (kernel/cgroup/cgroup.c, find_css_set and css_task_iter_start), which no file shows.
    """
    return bool(one.memcg) and one.memcg == other.memcg and one.cgroup != other.cgroup


class Deaths:
    """Which tasks die with a chosen one, by memory.oom.group; the members of a group are shared."""

    def __init__(self, tasks: Sequence[Task], groups: Set[str]) -> None:
        self._groups = groups
        self._tops: dict[str, str | None] = {}
        self._members: dict[str, list[int]] = {}
        self._shared: dict[str, tuple[int, ...]] = {}
        for task in tasks if groups else ():
            top = self.group(task)
            if top is not None and task.mortal:
                self._members.setdefault(top, []).append(task.pid)

    def group(self, chosen: Task) -> str | None:
        """Return the cgroup that dies as a whole with a task: the highest with the bit set."""
        if not self._groups:
            return None
        if chosen.cgroup not in self._tops:
            above = (path for path in ancestors(chosen.cgroup) if path in self._groups)
            self._tops[chosen.cgroup] = next(above, None)
        return self._tops[chosen.cgroup]

    def with_(self, chosen: Task) -> tuple[int, ...]:
        """Return the PIDs that die if a task is chosen, in scan order."""
        group = self.group(chosen)
        if group is None:
            return (chosen.pid,)
        if group not in self._shared:
            self._shared[group] = tuple(self._members.get(group, ()))
        return self._shared[group]


def _members(tasks: Sequence[Task], group: str) -> tuple[int, ...]:
    return tuple(task.pid for task in tasks if task.mortal and is_within(task.cgroup, group))
