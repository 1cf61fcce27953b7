"""One random experiment: a draft, and what it needs of the machine beside that. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from oomctl.oom.enums import Do, Occasion
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Action
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.draft import Draft
from oomctl.scenario.names import TOP, parent, within

UNCHARGED = ("hugetlb", "file")
"""Kinds of hogs that fill no memory.max."""
HIGH = "memory.high"
"""What a step writes to have memory swapped out."""


@dataclass(frozen=True)
class Case(Draft):
    """A draft whose `files` name every cgroup, in the order in which they are made.

    `swap` says that it wants a swap device. `reclaim` are the bytes to ask of the target once the
    hogs are filled; a scenario cannot say that, nor `no_controller`.
    """

    swap: bool = False
    reclaim: int = 0

    @property
    def inner(self) -> frozenset[str]:
        """The cgroups that give their children the memory controller, and so hold no process."""
        return frozenset(parent(each) for each in self.files if each != TOP) - {*self.no_controller}

    @property
    def targets(self) -> tuple[str, ...]:
        """The cgroups that its calls are made on."""
        return tuple(step.call.target or TOP for step in self.steps)

    @property
    def is_sound(self) -> bool:
        """Whether it can be carried out: its places exist, hold processes, and have room."""
        places = {path for hog in self.hogs for path in (hog.cgroup, hog.sharer) if path}
        known = self.files.keys()
        return (
            bool(self.steps)
            and all(parent(each) in known for each in known)
            and places <= known - self.inner
            and {*self.targets} <= known
            and all(self._can_act(action) for action in self.actions)
            and all(self._has_room(each) for each in known)
        )

    @property
    def late(self) -> frozenset[str]:
        """The names of the hogs that are started after the first call."""
        started = (each for each in self.actions if each.do == Do.START)
        return frozenset(each.hog for each in started if each.after.occasion == Occasion.RETURNED)

    def is_empty(self, cgroup: str) -> bool:
        """Whether no process is in a cgroup, no other below it, and no call is made on it."""
        used = {place for hog in self.hogs for place in (hog.cgroup, hog.sharer)} | {*self.targets}
        inner = {parent(each) for each in self.files if each != TOP}
        return cgroup != TOP and cgroup not in used | inner

    def _can_act(self, action: Action) -> bool:
        if not {action.hog, *action.after.hogs} - {""} <= {hog.name for hog in self.hogs}:
            return False
        if action.do in (Do.SYSCTL, Do.SYSFS):
            return True
        if action.do == Do.START:
            return self._can_start(action)
        if action.hog and not self._has_started(action):
            return False
        if action.do == Do.MOVE:
            return action.cgroup in self.files.keys() - self.inner
        if action.hog:
            return True
        if action.do == Do.REMOVE:
            others = {each.cgroup for each in self.actions if each is not action}
            is_kept = action.cgroup in others or not self.is_empty(action.cgroup)
            return action.cgroup in self.files and not is_kept
        return action.cgroup in self.files

    def _can_start(self, start: Action) -> bool:
        """Tell whether a hog can fill: it is not frozen, nor slowed down by a memory.high."""
        (hog,) = (each for each in self.hogs if each.name == start.hog)
        stilled: dict[str, bool] = {}
        for each in self._before(start):
            if each.file in (FREEZE, HIGH):
                stilled[each.cgroup] = each.file == HIGH or each.value == "1"
        places = [place for place in (hog.cgroup, hog.sharer) if place]
        return not any(
            within(place, at) for place in places for at, is_still in stilled.items() if is_still
        )

    def _has_started(self, action: Action) -> bool:
        starts = [each for each in self.actions if (each.do, each.hog) == (Do.START, action.hog)]
        return not starts or starts[0] in self._before(action)

    def _before(self, action: Action) -> list[Action]:
        """Return the actions that are sure to be made before one, in their order."""
        made = in_order(self.actions)
        return [each for each in made[: made.index(action)] if not each.after.hogs]

    def _has_room(self, cgroup: str) -> bool:
        limit = self.files[cgroup].get("memory.max", "max")
        charged = (h for h in self.hogs if within(h.cgroup, cgroup) and h.kind not in UNCHARGED)
        return limit == "max" or sum(hog.size for hog in charged) < int(limit)

    def without_cgroup(self, gone: str) -> "Case":
        """Return the same without one cgroup: what is in it and below it moves to its parent."""

        def moved(path: str) -> str:
            if path == gone:
                return parent(gone)
            if is_within(path, gone):
                rest = path.removeprefix(f"{gone}/")
                return rest if parent(gone) == TOP else f"{parent(gone)}/{rest}"
            return path

        return replace(
            self,
            files={moved(path): files for path, files in self.files.items() if path != gone},
            hogs=tuple(
                replace(hog, cgroup=moved(hog.cgroup), sharer=hog.sharer and moved(hog.sharer))
                for hog in self.hogs
            ),
            steps=tuple(
                replace(step, call=replace(step.call, target=moved(step.call.target or TOP)))
                for step in self.steps
            ),
            actions=tuple(
                replace(each, cgroup=each.cgroup and moved(each.cgroup)) for each in self.actions
            ),
        )


def in_order(actions: Iterable[Action]) -> list[Action]:
    """Return actions in the order in which they are made: those before the first call first."""
    return sorted(
        actions, key=lambda each: (each.after.occasion != Occasion.FILLED, each.after.delay)
    )
