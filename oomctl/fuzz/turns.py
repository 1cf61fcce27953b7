"""The kills of one call, explained by the choices that the model allows. Pure."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from oomctl.fuzz.case import in_order
from oomctl.oom.enums import Do, Occasion, Role, Via
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Plan, Setting
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

    `plan` has the settings of the time of the call, `others` are the calls of the same moment,
    `beside` the kills of the round that no call made. `turns` is None if no choices that the model
    allows come to these dead.
    """

    plan: Plan
    call: CallReport
    tasks: Mapping[int, Task]
    others: Sequence[CallReport] = ()
    beside: Sequence[OomKill] = ()

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
        return frozenset(kill.pid for kill in self.call.kills if self._is_late(kill))

    def _is_late(self, kill: OomKill) -> bool:
        seen = max((c.task.pid for c in self.prediction.candidates), default=0)
        return kill.comm in self.forkers and kill.pid > seen and not self.tasks[kill.pid].started

    @cached_property
    def refills(self) -> tuple[OomKill, ...]:
        """The kills for a forker that ran into the lowered limit itself, as it made children anew.

        The OOM killer of its charge chooses a task while the caller is still at it.
        """
        return tuple(
            kill
            for kill in self.beside
            if self.again
            and kill.invoker_comm in self.forkers
            and kill.invoker_pid != self.call.result.caller
        )

    @cached_property
    def refilled(self) -> frozenset[int]:
        """The PIDs of these kills."""
        return frozenset(kill.pid for kill in self.refills)

    @cached_property
    def forkers(self) -> frozenset[str]:
        """The comms of the hogs that make children anew."""
        return frozenset(hog.label for hog in self.plan.hogs if hog.kind == "forker")

    @cached_property
    def orphans(self) -> frozenset[int]:
        """The children of dead hogs: PR_SET_PDEATHSIG ends them, maybe before their turn comes.

        Their turn comes with a group, or as sharers of the victim's memory after the kernel has
        logged its kill (mm/oom_kill.c, __oom_kill_process). Those of a victim of another caller may
        have ended since the look.
        """
        killed = self.killed | self.killed_beside | self.refilled
        born = {pid for pid, task in self.tasks.items() if task.parent in killed}
        return frozenset(born - killed)

    @cached_property
    def killed_beside(self) -> frozenset[int]:
        """The PIDs that the OOM killer took for others that called at the same moment."""
        return frozenset(kill.pid for other in self.others for kill in other.kills)

    @cached_property
    def turns(self) -> tuple[Turn, ...] | None:
        """The choices that come to these dead."""
        if self.call.call.via == Via.KILL:
            inside = {task.pid for task in self.prediction.tasks}
            return () if self.killed <= inside <= self.killed | self.orphans else None
        known = {kill.pid for kill in self.refills if not self._is_late(kill)}
        found = self._explain(self.prediction, self.killed - self.late | known)
        return None if found is None else tuple(found)

    @property
    def target(self) -> str:
        """The cgroup that is out of memory."""
        return self.call.call.target or ""

    @property
    def again(self) -> bool:
        """Whether the OOM killer chooses again until the usage is below the limit."""
        return self.call.call.via == Via.LIMIT

    @property
    def may_be_idle(self) -> bool:
        """Whether no kill is right although there are candidates.

        Reclaim was enough; or another caller's victim is still dying, or that caller has oom_lock
        (mm/oom_kill.c, oom_evaluate_task).
        """
        return self.again or self.enough or any(other.kills for other in self.others)

    @property
    def enough(self) -> bool:
        """Whether memory.reclaim freed what was wanted, so that the kfunc was not called."""
        return self.call.call.via == Via.RECLAIM and not self.call.result.attempts

    def with_sharers(self, pids: Iterable[int]) -> set[int]:
        """Add the tasks that share the memory of a victim (mm/oom_kill.c, __oom_kill_process)."""
        memories = {self.tasks[pid].memory for pid in pids if pid in self.tasks}
        return {pid for pid, task in self.tasks.items() if task.memory in memories}

    def _explain(self, prediction: Prediction, left: Set[int]) -> list[Turn] | None:
        if not left and (self.may_be_idle or not prediction.victims):
            return []
        kills = (*self.call.kills, *self.refills)
        chosen = {kill.pid for kill in kills if kill.role == Role.VICTIM}
        for place, pids in enumerate((prediction.victims, *prediction.instead)):
            dead = self.with_sharers(pids)
            turn = Turn(pids, self._group_of(pids), place == 0)
            # of tasks with one memory, the chosen one tells
            spared = dead - left - self.orphans - self.killed_beside
            if not pids or not dead & left & chosen <= set(pids) or spared:
                continue
            if left <= dead:
                return [turn]
            if self.again:
                rest = self._explain(prediction.without(dead), left - dead)
                if rest is not None:
                    return [turn, *rest]
        return None

    def _group_of(self, pids: Sequence[int]) -> str | None:
        """Return the highest cgroup with memory.oom.group between the target and a victim."""
        if not pids:
            return None
        home, groups = self.tasks[pids[0]].cgroup, groups_of(self.plan, self.target)
        return min((each for each in groups if is_within(home, each)), key=len, default=None)


def groups_of(plan: Plan, target: str) -> set[str]:
    """Return the cgroups with memory.oom.group from a target downwards."""
    return {
        cgroup
        for (cgroup, file), value in written(plan).items()
        if file == "memory.oom.group" and value == "1" and is_within(cgroup, target)
    }


def written(plan: Plan) -> dict[tuple[str, str], str]:
    """Return the last value of each file of a cgroup that a plan writes before its calls."""
    return {(each.cgroup, each.file): each.value for each in plan.settings}


def at_step(plan: Plan, number: int) -> Plan:
    """Return a plan as its actions have made it by one of its calls.

    What they have written are settings, and the hogs are those that are started by then.
    """
    made = [
        each
        for each in in_order(plan.actions)
        if each.after.occasion == Occasion.FILLED or each.after.call < number
    ]
    written = (Setting(a.cgroup, a.file, a.value) for a in made if a.do == Do.WRITE)
    later = plan.late - {action.hog for action in made}
    hogs = tuple(hog for hog in plan.hogs if hog.name not in later)
    return replace(plan, settings=(*plan.settings, *written), hogs=hogs)


def scan_key(plan: Plan, cgroup: str) -> list[int]:
    """Return a key for the order in which the OOM killer scans cgroups.

    A cgroup comes before those below it, and siblings in the order in which they were made
    (mm/memcontrol.c, mem_cgroup_scan_tasks); the tasks of one come in the order of joining it.
    """
    return [number for number, each in enumerate(plan.cgroups) if is_within(cgroup, each)]
