"""What a plan's declarations can reach, and what is counted there before and after."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oomctl.evidence import Kill
from oomctl.kernel import procfs
from oomctl.kernel.cgroups import CgroupError, UnifiedNode
from oomctl.kernel.hogs import Runner
from oomctl.plan import Plan
from oomctl.task import Task

Events = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Snapshot:
    """The state before the first call: tasks in scan order, hogs and charged bytes by PID.

    `machine` holds every task of the machine for a system-wide declaration, else nothing.
    """

    tasks: Sequence[Task]
    machine: Sequence[Task]
    hogs: Mapping[int, Runner]
    charged: Mapping[int, int]
    events: Events
    memory: int | None

    def hog_of(self, task: Task) -> Runner | None:
        """Return the hog that a task is, or that it is a child of."""
        return self.hogs.get(task.pid) or self.hogs.get(task.parent)

    def find(self, pid: int) -> Task | None:
        """Return a task of the target, or of the machine where that was looked at."""
        return next((t for t in (*self.tasks, *self.machine) if t.pid == pid), None)


class Scope:
    """The cgroup whose tasks and counters are looked at, if there is one: the plan's `top`."""

    def __init__(self, plan: Plan, root: UnifiedNode) -> None:
        self._root = root
        self._system_wide = plan.system_wide
        self._counted = None if plan.top is None else root.at(plan.top)

    def snapshot(self, runners: Sequence[Runner]) -> Snapshot:
        """Look at tasks, charges and counters; `runners` are the hogs that run."""
        members = self._counted.members() if self._counted else {}
        tasks = procfs.read_tasks(members)
        crowd = Counter(members.values())
        return Snapshot(
            tasks=tasks,
            machine=procfs.all_tasks() if self._system_wide else (),
            hogs={runner.pid: runner for runner in runners},
            charged={task.pid: self._charge(task, crowd[task.cgroup] == 1) for task in tasks},
            events=self.events(),
            memory=self.memory(),
        )

    def _charge(self, task: Task, alone: bool) -> int:
        """What the kernel charged: cgroups are charged, not tasks, so ask the cgroup if it can."""
        current = None
        if alone and self._counted:
            inside = task.cgroup.removeprefix(self._counted.cgroup)
            current = self._counted.at(inside).controller.memory_current
        return task.footprint if current is None else int(current)

    def memory(self) -> int | None:
        """Return memory.current in bytes."""
        return self._counted.controller.memory_current if self._counted else None

    def events(self) -> Events:
        """Return memory.events of the counted cgroup and of all below it."""
        if not self._counted:
            return {}
        found = {node.cgroup: node.controller.memory_events for node in self._counted.subtree()}
        return {cgroup: events for cgroup, events in found.items() if events is not None}

    def changes(self, before: Events) -> Events:
        """Return what each counter rose by since; below the counted cgroup only what moved."""
        top = self._counted.cgroup if self._counted else ""
        deltas = {
            cgroup: {name: n - before.get(cgroup, {}).get(name, 0) for name, n in events.items()}
            for cgroup, events in self.events().items()
        }
        return {path: delta for path, delta in deltas.items() if path == top or any(delta.values())}

    def pressure(self) -> dict[str, int]:
        """Return memory.pressure's stall times in us by "some" and "full"; empty without PSI."""
        try:
            found = self._counted.controller.memory_pressure if self._counted else None
        except CgroupError:  # EOPNOTSUPP: built in, but switched off (psi=0)
            return {}
        return found or {}

    def populated(self) -> bool:
        """Tell whether a process lives in the counted cgroup or below it."""
        events = self._counted.controller.cgroup_events if self._counted else None
        return bool(events and events.get("populated"))

    def counted(self) -> UnifiedNode | None:
        """Return the cgroup whose counters and memory are looked at."""
        return self._counted

    def path_of(self, cgroup_id: int) -> str | None:
        """Return the path of a cgroup by its id, None if it is gone."""
        for node in self._root.subtree():
            with contextlib.suppress(FileNotFoundError):
                if node.id == cgroup_id:
                    return node.cgroup
        return None

    def owns(self, kill: Kill, target: str | None, snapshot: Snapshot) -> bool:
        """Tell whether a kill belongs to a declaration on `target`, not to an OOM elsewhere."""
        if target is None:
            return True
        home = next((task.cgroup for task in snapshot.tasks if task.pid == kill.pid), kill.memcg)
        return home is not None and (home == target or home.startswith(f"{target}/"))

    def dying(self) -> int | None:
        """Return how many cgroups of the whole hierarchy are removed but not gone yet."""
        return (self._root.controller.stat or {}).get("nr_dying_descendants")
