"""The kills of one call, explained by the choices that the model allows. Pure."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from oomctl.oom.enums import Role, Via
from oomctl.oom.outcome import CallReport
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Plan
from oomctl.oom.prediction import Prediction, predict
from oomctl.oom.task import Task


@dataclass(frozen=True)
class Turn:
    """One choice of the OOM killer: what it took, as which group; `first` is the prediction's."""

    victims: tuple[int, ...]
    group: str | None
    first: bool


@dataclass(frozen=True)
class CallKills:
    """What one call killed; `tasks` are all that are known, by PID.

    `turns` is None if no choices that the model allows come to these dead.
    """

    plan: Plan
    call: CallReport
    tasks: Mapping[int, Task]

    @cached_property
    def prediction(self) -> Prediction:
        """What was predicted just before the call."""
        return self.call.prediction or predict((), 1, 1, frozenset())

    @cached_property
    def killed(self) -> frozenset[int]:
        """The PIDs that the OOM killer took."""
        return frozenset(kill.pid for kill in self.call.kills)

    @cached_property
    def late(self) -> frozenset[int]:
        """The killed children that a forker made after the look, in place of one killed before."""
        seen = max((c.task.pid for c in self.prediction.candidates), default=0)
        return frozenset(
            kill.pid
            for kill in self.call.kills
            if kill.comm in self.forkers and kill.pid > seen and not self.tasks[kill.pid].started
        )

    @cached_property
    def forkers(self) -> frozenset[str]:
        """The comms of the hogs that make children anew."""
        return frozenset(hog.label for hog in self.plan.hogs if hog.kind == "forker")

    @cached_property
    def orphans(self) -> frozenset[int]:
        """The children of dead hogs: PR_SET_PDEATHSIG ends them, maybe before their turn comes.

        Their turn comes with a group, or as sharers of the victim's memory after the kernel has
        logged its kill (mm/oom_kill.c, __oom_kill_process).
        """
        born = {pid for pid, task in self.tasks.items() if task.parent in self.killed}
        return frozenset(born - self.killed)

    @cached_property
    def turns(self) -> tuple[Turn, ...] | None:
        """The choices that come to these dead."""
        found = self._explain(self.prediction, self.killed - self.late)
        return None if found is None else tuple(found)

    @property
    def target(self) -> str:
        """The cgroup that is out of memory."""
        return self.call.call.target or ""

    @property
    def again(self) -> bool:
        """Whether the OOM killer chooses again until the usage is below the limit."""
        return self.call.call.via == Via.LIMIT

    def with_sharers(self, pids: Iterable[int]) -> set[int]:
        """Add the tasks that share the memory of a victim (mm/oom_kill.c, __oom_kill_process)."""
        memories = {self.tasks[pid].memory for pid in pids if pid in self.tasks}
        return {pid for pid, task in self.tasks.items() if task.memory in memories}

    def _explain(self, prediction: Prediction, left: Set[int]) -> list[Turn] | None:
        if not left and (self.again or not prediction.victims):
            return []
        chosen = {kill.pid for kill in self.call.kills if kill.role == Role.VICTIM}
        for place, pids in enumerate((prediction.victims, *prediction.instead)):
            dead = self.with_sharers(pids)
            turn = Turn(pids, self._group_of(pids), place == 0)
            # of tasks with one memory, the chosen one tells
            if not pids or not dead & left & chosen <= set(pids) or dead - left - self.orphans:
                continue
            if left <= dead:
                return [turn]
            if self.again:
                rest = self._explain(self._without(prediction, dead), left - dead)
                if rest is not None:
                    return [turn, *rest]
        return None

    def _without(self, prediction: Prediction, dead: Set[int]) -> Prediction:
        left = (c.task for c in prediction.candidates if c.task.pid not in dead)
        tasks = sorted(left, key=lambda task: (scan_key(self.plan, task.cgroup), task.pid))
        return predict(tasks, prediction.totalpages, prediction.page_size, self._groups)

    @property
    def _groups(self) -> set[str]:
        return groups_of(self.plan, self.target)

    def _group_of(self, pids: Sequence[int]) -> str | None:
        """Return the highest cgroup with memory.oom.group between the target and a victim."""
        if not pids:
            return None
        home = self.tasks[pids[0]].cgroup
        return min((each for each in self._groups if is_within(home, each)), key=len, default=None)


def groups_of(plan: Plan, target: str) -> set[str]:
    """Return the cgroups with memory.oom.group from a target downwards."""
    found = {each.cgroup for each in plan.settings if each.file == "memory.oom.group"}
    return {each for each in found if is_within(each, target)}


def scan_key(plan: Plan, cgroup: str) -> list[int]:
    """Return a key for the order in which the OOM killer scans cgroups.

    A cgroup comes before those below it, and siblings in the order in which they were made
    (mm/memcontrol.c, mem_cgroup_scan_tasks); the tasks of one come in the order of joining it.
    """
    return [number for number, each in enumerate(plan.cgroups) if is_within(cgroup, each)]
