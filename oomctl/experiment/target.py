"""The cgroup that a plan is about: its tasks and counters before and after the calls."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from oomctl.cgroup.node import UnifiedNode
from oomctl.files.kernelfile import KernelFileError
from oomctl.hog.hogset import RunningHog
from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Plan
from oomctl.oom.task import Task
from oomctl.proc import procfs
from oomctl.text import printable

_MOST_PATHS = 1 << 16  # known at once, before those of removed cgroups are forgotten
Events = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Snapshot:
    """The state before the first call: tasks in scan order, hogs and charged bytes by PID.

    `machine` has every task of the machine if a call is system-wide, else none. `memory` is
    memory.current of the top cgroup.
    """

    tasks: Sequence[Task]
    machine: Sequence[Task]
    hogs: Mapping[int, RunningHog]
    charged: Mapping[int, int]
    memory: int | None

    def hog_of(self, task: Task) -> RunningHog | None:
        """Return the hog that a task is, or is a child of.

        A child that ended before its parent was read is known by its hog's comm and cgroup.
        """
        if running_hog := self.hogs.get(task.pid) or self.hogs.get(task.parent):
            return running_hog
        alike = () if task.parent else self._parents.get((task.comm, task.cgroup), ())
        return alike[0] if len(alike) == 1 else None

    def find(self, pid: int) -> Task | None:
        """Return a task of the target, or of the machine if that was read."""
        return self._by_pid.get(pid)

    def joined(self, later: "Snapshot") -> "Snapshot":
        """Return this with the tasks that came since, and with the cgroups of all by then."""
        homes = {task.pid: task.cgroup for task in later.tasks}
        known = {task.pid for task in self.tasks}
        tasks = [replace(task, cgroup=homes.get(task.pid, task.cgroup)) for task in self.tasks]
        return replace(
            self,
            tasks=[*tasks, *(task for task in later.tasks if task.pid not in known)],
            hogs=later.hogs,
            charged={**later.charged, **self.charged},
        )

    @cached_property
    def _parents(self) -> Mapping[tuple[str, str], Sequence[RunningHog]]:
        """The hogs that have children, by the comm and the cgroup of these."""
        found: dict[tuple[str, str], list[RunningHog]] = {}
        for one in self.hogs.values():
            home = {"forker": one.hog.cgroup, "shared": one.hog.sharer}.get(one.hog.kind)
            if home is not None:
                found.setdefault((one.hog.label[:15], printable(home)), []).append(one)
        return found

    @cached_property
    def _by_pid(self) -> Mapping[int, Task]:
        return {task.pid: task for task in (*self.machine, *self.tasks)}


def rises(before: Events, after: Events) -> Events:
    """Return by how much each counter rose; those of a new cgroup began at 0.

    A counter never falls: if one is lower, a new cgroup was made under the same name.
    """
    found = {}
    for cgroup, events in after.items():
        old = before.get(cgroup, {})
        if any(n < old.get(name, 0) for name, n in events.items()):
            old = {}
        found[cgroup] = {name: n - old.get(name, 0) for name, n in events.items()}
    return found


class CgroupPaths:
    """Paths of cgroups by id; the paths of the last removed cgroups stay known."""

    def __init__(self, root: UnifiedNode) -> None:
        self._root = root
        self.known: dict[int, str] = {}

    def refresh(self) -> None:
        """Read the paths of all cgroups there are now."""
        if len(self.known) > _MOST_PATHS:
            self.known.clear()
        for node in self._root.walk():
            with contextlib.suppress(OSError):  # removed during the walk
                self.known[node.id] = node.cgroup


class TargetState:
    """Reads tasks and counters of the plan's `top` cgroup, if it has one.

    Another program may remove it at any time and make a new one under its name: then nothing can be
    read of it any more.
    """

    def __init__(self, plan: Plan, root: UnifiedNode) -> None:
        self._root = root
        self._system_wide = plan.system_wide
        self._targets = {plan.top or "/", *(step.call.target or "/" for step in plan.steps)}
        self.top = None if plan.top is None else root.at(plan.top)
        self._id = self.top and _id(self.top)
        self._paths = CgroupPaths(root)

    @property
    def _existing(self) -> UnifiedNode | None:
        return self.top if self.top and _id(self.top) == self._id else None

    @property
    def gone(self) -> bool:
        """Whether the top cgroup has been removed."""
        return self.top is not None and self._existing is None

    def snapshot(self, running_hogs: Sequence[RunningHog]) -> Snapshot:
        """Read tasks, charges and memory."""
        members = self.top.members() if self.top else {}
        tasks = procfs.read_tasks(members)
        residents = Counter(members.values())
        return Snapshot(
            tasks=tasks,
            machine=procfs.all_tasks() if self._system_wide else (),
            hogs={each.pid: each for each in running_hogs},
            charged={task.pid: self._charge(task, residents[task.cgroup] == 1) for task in tasks},
            memory=self.memory(),
        )

    def _charge(self, task: Task, alone: bool) -> int:
        """Return the charge: that of the cgroup if the task is alone there, else its footprint."""
        current = self._root.at(task.cgroup).controller.memory_current if alone else None
        return task.footprint if current is None else int(current)

    def memory(self) -> int | None:
        """Return memory.current in bytes; None if it cannot be read."""
        top = self._existing
        return top.controller.memory_current if top else None

    def events(self) -> tuple[Events, Events]:
        """Return memory.events and memory.events.local of the top cgroup and of all below it."""
        top = self._existing
        nodes = list(top.walk()) if top else []
        return (
            _known((node.cgroup, node.controller.memory_events) for node in nodes),
            _known((node.cgroup, node.controller.memory_events_local) for node in nodes),
        )

    def events_of(self, target: str | None) -> Events:
        """Return memory.events of a target only, if it is the top cgroup or below it."""
        top = self._existing
        if top is None or target is None or not is_within(target, top.cgroup):
            return {}
        events = self._root.at(target).controller.memory_events
        return {} if events is None else {target: events}

    def group_kills(self, groups: Iterable[str]) -> Mapping[str, int]:
        """Return oom_group_kill of cgroups that have memory.oom.group; 0 if it cannot be read.

        The highest of them counts the kill (mm/oom_kill.c, oom_kill_process()), and that need not
        be below the top cgroup.
        """
        found = {group: self._root.at(group).controller.memory_events for group in groups}
        return {group: (events or {}).get("oom_group_kill", 0) for group, events in found.items()}

    def pressure(self) -> dict[str, int]:
        """Return the stall times of memory.pressure in us, "some" and "full"; empty without PSI."""
        top = self._existing
        try:
            found = top.controller.memory_pressure if top else None
        except KernelFileError:  # EOPNOTSUPP: built in, but booted with psi=0
            return {}
        return found or {}

    def populated(self) -> bool:
        """Return whether there is a process in the top cgroup or below it."""
        top = self._existing
        events = top.controller.cgroup_events if top else None
        return bool(events and events.get("populated"))

    def path_of(self, cgroup_id: int) -> str | None:
        """Return the path of a cgroup by its id; None if it was removed before it was read."""
        if cgroup_id not in self._paths.known:
            self._paths.refresh()
        return self._paths.known.get(cgroup_id)

    def owns(self, kill: OomKill, target: str | None, snapshot: Snapshot) -> bool:
        """Return whether a kill belongs to a call on `target`, not to an OOM elsewhere."""
        if target is None:
            return True
        task = snapshot.find(kill.pid)
        home = task.cgroup if task else kill.cgroup
        return home is not None and is_within(home, target)

    def holds(self, cgroup: str | None) -> bool:
        """Return whether a cgroup is, or is in, the top cgroup or a target; system-wide all are."""
        if self._system_wide:
            return True
        return cgroup is not None and any(is_within(cgroup, target) for target in self._targets)

    def dying(self) -> int | None:
        """Return how many removed cgroups of the whole hierarchy the kernel still keeps."""
        return (self._root.controller.stat or {}).get("nr_dying_descendants")


def _known(found: Iterable[tuple[str, Mapping[str, int] | None]]) -> Events:
    return {cgroup: events for cgroup, events in found if events is not None}


def _id(node: UnifiedNode) -> int | None:
    try:
        return node.id
    except OSError:
        return None
