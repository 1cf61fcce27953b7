"""What a plan's declarations can reach, and what is counted there before and after."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from oomctl.cgroup.node import UnifiedNode
from oomctl.files.kernelfile import KernelFileError
from oomctl.hog.hogset import RunningHog
from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Hog, Plan
from oomctl.oom.task import Task
from oomctl.proc import procfs
from oomctl.text import printable

Events = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Snapshot:
    """The state before the first call: tasks in scan order, hogs and charged bytes by PID.

    `machine` holds every task of the machine for a system-wide declaration, else nothing. `memory`
    is memory.current of the counted cgroup.
    """

    tasks: Sequence[Task]
    machine: Sequence[Task]
    hogs: Mapping[int, RunningHog]
    charged: Mapping[int, int]
    memory: int | None

    def hog_of(self, task: Task) -> RunningHog | None:
        """Return the hog that a task is, or that it is a child of.

        A child that had ended before anybody looked at its parent has its hog's comm and cgroup.
        """
        if running_hog := self.hogs.get(task.pid) or self.hogs.get(task.parent):
            return running_hog
        alike = [one for one in self.hogs.values() if _like_a_child(task, one.hog)]
        return alike[0] if len(alike) == 1 and not task.parent else None

    def find(self, pid: int) -> Task | None:
        """Return a task of the target, or of the machine where that was looked at."""
        return next((t for t in (*self.tasks, *self.machine) if t.pid == pid), None)


def rises(before: Events, after: Events) -> Events:
    """Return what each counter rose by; a cgroup that is new began at 0.

    A counter never falls: where one is lower, the cgroup was made anew under its name.
    """
    found = {}
    for cgroup, events in after.items():
        old = before.get(cgroup, {})
        if any(n < old.get(name, 0) for name, n in events.items()):
            old = {}
        found[cgroup] = {name: n - old.get(name, 0) for name, n in events.items()}
    return found


class TargetState:
    """The cgroup whose tasks and counters are looked at, if there is one: the plan's `top`.

    It may be removed by anybody at any time, and another may be made under its name: then nothing
    can be read of it any more.
    """

    def __init__(self, plan: Plan, root: UnifiedNode) -> None:
        self._root = root
        self._system_wide = plan.system_wide
        self._places = {plan.top or "/", *(step.call.target or "/" for step in plan.steps)}
        self._top = None if plan.top is None else root.at(plan.top)
        self._id = self._top and _id(self._top)
        self._paths: dict[int, str] = {}

    @property
    def _counted(self) -> UnifiedNode | None:
        return self._top if self._top and _id(self._top) == self._id else None

    @property
    def gone(self) -> bool:
        """Whether the cgroup was there and is no more."""
        return self._top is not None and self._counted is None

    def snapshot(self, running_hogs: Sequence[RunningHog]) -> Snapshot:
        """Look at tasks, charges and counters; `runners` are the hogs that run."""
        members = self._top.members() if self._top else {}
        tasks = procfs.read_tasks(members)
        crowd = Counter(members.values())
        return Snapshot(
            tasks=tasks,
            machine=procfs.all_tasks() if self._system_wide else (),
            hogs={running_hog.pid: running_hog for running_hog in running_hogs},
            charged={task.pid: self._charge(task, crowd[task.cgroup] == 1) for task in tasks},
            memory=self.memory(),
        )

    def _charge(self, task: Task, alone: bool) -> int:
        """What the kernel charged: cgroups are charged, not tasks, so ask the cgroup if it can."""
        current = None
        if alone:
            current = self._root.at(task.cgroup).controller.memory_current
        return task.footprint if current is None else int(current)

    def memory(self) -> int | None:
        """Return memory.current in bytes; None where it cannot be read."""
        counted = self._counted
        return counted.controller.memory_current if counted else None

    def events(self) -> Events:
        """Return memory.events of the counted cgroup and of all below it."""
        return self._counters(lambda node: node.controller.memory_events)

    def events_local(self) -> Events:
        """Return memory.events.local of the same: what happened at each cgroup itself."""
        return self._counters(lambda node: node.controller.memory_events_local)

    def _counters(self, read: Callable[[UnifiedNode], Mapping[str, int] | None]) -> Events:
        if not (counted := self._counted):
            return {}
        found = {node.cgroup: read(node) for node in counted.walk()}
        return {cgroup: events for cgroup, events in found.items() if events is not None}

    def group_kills(self, groups: Iterable[str]) -> Mapping[str, int]:
        """Return oom_group_kill of cgroups that have memory.oom.group, as far as it can be read.

        The highest of them counts the kill (mm/oom_kill.c, oom_kill_process), which need not be
        below the counted cgroup.
        """
        found = {group: self._root.at(group).controller.memory_events for group in groups}
        return {group: (events or {}).get("oom_group_kill", 0) for group, events in found.items()}

    def pressure(self) -> dict[str, int]:
        """Return memory.pressure's stall times in us by "some" and "full"; empty without PSI."""
        counted = self._counted
        try:
            found = counted.controller.memory_pressure if counted else None
        except KernelFileError:  # EOPNOTSUPP: built in, but switched off (psi=0)
            return {}
        return found or {}

    def populated(self) -> bool:
        """Tell whether a process lives in the counted cgroup or below it."""
        counted = self._counted
        events = counted.controller.cgroup_events if counted else None
        return bool(events and events.get("populated"))

    def counted(self) -> UnifiedNode | None:
        """Return the cgroup whose counters and memory are looked at."""
        return self._top

    def path_of(self, cgroup_id: int) -> str | None:
        """Return the path of a cgroup by its id, None if it was gone before it was first asked."""
        if cgroup_id not in self._paths:
            for node in self._root.walk():
                with contextlib.suppress(OSError):
                    self._paths[node.id] = node.cgroup
        return self._paths.get(cgroup_id)

    def owns(self, kill: OomKill, target: str | None, snapshot: Snapshot) -> bool:
        """Tell whether a kill belongs to a declaration on `target`, not to an OOM elsewhere."""
        if target is None:
            return True
        home = next((task.cgroup for task in snapshot.tasks if task.pid == kill.pid), kill.cgroup)
        return home is not None and is_within(home, target)

    def holds(self, cgroup: str | None) -> bool:
        """Tell whether a cgroup is the counted one, a target, or below; all are of the system."""
        if self._system_wide:
            return True
        return cgroup is not None and any(is_within(cgroup, place) for place in self._places)

    def dying(self) -> int | None:
        """Return how many cgroups of the whole hierarchy are removed but not gone yet."""
        return (self._root.controller.stat or {}).get("nr_dying_descendants")


def _like_a_child(task: Task, hog: Hog) -> bool:
    home = {"forker": hog.cgroup, "shared": hog.sharer}.get(hog.kind)
    return home is not None and (task.comm, task.cgroup) == (hog.label[:15], printable(home))


def _id(node: UnifiedNode) -> int | None:
    try:
        return node.id
    except OSError:
        return None
