"""Compares the outcome of a random tree with its prediction, and the report with itself. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from oomctl.oom.enums import Phase
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import is_within
from oomctl.oom.prediction import Prediction, predict
from oomctl.oom.task import Task
from tests.kernel.trees import Tree

_KILLED = re.compile(r"Killed process (\d+) \((.*)\) total-vm")


@dataclass(frozen=True)
class Turn:
    """One choice of the OOM killer: what it took, as which group; `first` is the prediction's."""

    victims: tuple[int, ...]
    group: str | None
    first: bool


class Comparison:
    """One tree as it was declared; `faults()` are empty where everything is as it should be."""

    def __init__(self, tree: Tree, outcome: Outcome) -> None:
        self._tree = tree
        self.outcome = outcome
        (self._call,) = outcome.calls
        assert self._call.prediction
        self.prediction = self._call.prediction
        seen = [candidate.task for candidate in self.prediction.candidates]
        self._tasks = {task.pid: task for task in (*(f.task for f in outcome.tasks), *seen)}
        self._killed = {kill.pid for kill in self._call.kills}
        self._late = {kill.pid for kill in self._call.kills if self._is_late(kill.pid, kill.comm)}
        self._chosen = {kill.pid for kill in self._call.kills if kill.role == "victim"}
        self._turns = self._explain(self.prediction, self._killed - self._late)

    @property
    def agreement(self) -> Literal["agreed", "explained", "wrong"]:
        """Whether the predicted died, or others that may by the error of the kernel's counters."""
        if self._turns is None:
            return "wrong"
        return "agreed" if all(turn.first for turn in self._turns) else "explained"

    def __str__(self) -> str:
        predicted, died = map(self._names, (self.prediction.victims, self._killed))
        return f"predicted {predicted}, died {died}"

    def features(self) -> Iterator[str]:
        """Yield what is special about it, to be counted."""
        call, prediction = self._call, self.prediction
        best = [candidate.badness for candidate in prediction.candidates[:2]]
        yield f"{'several' if len(call.kills) > 1 else len(call.kills)} killed by {call.call.via}"
        for feature, true in {
            "groups": prediction.group,
            "too close to call": prediction.close,
            "ties": len(best) == 2 and best[0] == best[1],
            "with swap": any(candidate.task.swap for candidate in prediction.candidates),
            "with collateral": call.collateral,
            "with members that were gone": call.gone,
            "with a child of a forker made meanwhile": self._late,
        }.items():
            if true:
                yield feature

    def faults(self) -> Iterator[str]:
        """Say what is wrong with the prediction or with the report."""
        if self.outcome.failure:
            yield f"failure: {self.outcome.failure}"
        if self._turns is None:
            yield f"{self}; {self.prediction}"
            return
        predicted = {pid for turn in self._turns for pid in turn.victims}
        victims = (predicted & self._killed) | self._late
        yield from _differ("victims", set(self._call.victims), victims)
        yield from _differ("collateral", set(self._call.collateral), self._killed - victims)
        yield from _differ("gone", set(self._call.gone), predicted - self._killed)
        yield from self._answer()
        yield from self._evidence()
        yield from self._timeline()
        yield from self._fates()
        yield from self._counters(self._turns)

    def _names(self, pids: Iterable[int]) -> list[str]:
        names = {row.task.pid: row.name for row in self.outcome.tasks}
        return [f"{names.get(pid)} ({pid})" for pid in sorted(pids)]

    def _is_late(self, pid: int, comm: str) -> bool:
        """Tell whether a forker made a child after the look, in place of one that was killed."""
        forkers = {hog.label for hog in self._tree.plan.hogs if hog.kind == "forker"}
        seen = {candidate.task.pid for candidate in self.prediction.candidates}
        task = self._tasks[pid]
        return comm in forkers and pid > max(seen, default=0) and not task.started

    @property
    def _orphans(self) -> set[int]:
        """The children of dead forkers: they die with it, maybe before a group's turn is theirs."""
        dead = {f.task.pid for f in self.outcome.tasks if f.kind == "forker"} & self._killed
        return {pid for pid, task in self._tasks.items() if task.parent in dead} - self._killed

    def _with_sharers(self, pids: Iterable[int]) -> set[int]:
        """Add the tasks that share the memory of a victim (mm/oom_kill.c, __oom_kill_process)."""
        memories = {_memory(self._tasks[pid]) for pid in pids}
        return {pid for pid, task in self._tasks.items() if _memory(task) in memories}

    def _explain(self, prediction: Prediction, left: Set[int]) -> list[Turn] | None:
        """Return the choices that come to these dead, None if there are none.

        A limit has the OOM killer choose again until the usage is below.
        """
        again = self._tree.call.via == "limit"
        if not left and (again or not prediction.victims):
            return []
        for place, pids in enumerate((prediction.victims, *prediction.instead)):
            dead = self._with_sharers(pids)
            turn = Turn(pids, self._group_of(pids), place == 0)
            # of tasks with one memory, the chosen one tells
            if (
                not pids
                or not dead & left & self._chosen <= set(pids)
                or dead - left - self._orphans
            ):
                continue
            if left <= dead:
                return [turn]
            if again:
                rest = self._explain(self._without(prediction, dead), left - dead)
                if rest is not None:
                    return [turn, *rest]
        return None

    def _without(self, prediction: Prediction, dead: Set[int]) -> Prediction:
        left = (c.task for c in prediction.candidates if c.task.pid not in dead)
        tasks = sorted(left, key=self._scanned)
        groups = {group for group in self._tree.groups if is_within(group, self._tree.target)}
        return predict(tasks, prediction.totalpages, prediction.page_size, groups)

    def _scanned(self, task: Task) -> tuple[list[int], int]:
        """Return when a task is scanned.

        Its cgroup comes before those below it and siblings in the order in which they were made;
        the tasks of one cgroup come in the order in which they joined it, which is that of PIDs.
        """
        made = enumerate(self._tree.plan.cgroups)
        return [number for number, cgroup in made if is_within(task.cgroup, cgroup)], task.pid

    def _group_of(self, pids: Sequence[int]) -> str | None:
        """Return the highest cgroup with memory.oom.group between the target and a victim."""
        above = [
            group
            for group in self._tree.groups
            if is_within(group, self._tree.target)
            and pids
            and is_within(self._tasks[pids[0]].cgroup, group)
        ]
        return min(above, key=len, default=None)

    def _answer(self) -> Iterator[str]:
        limit = self._tree.call.via == "limit"
        ret = 0 if limit else int(bool(self._killed))
        yield from _differ("return value", self._call.result.ret, ret)
        verdict = _verdict(self._call, limit, self._turns or [])
        if self._call.verdict.name not in verdict:
            yield f"verdict {self._call.verdict}, not {verdict}"
        yield from _differ("verdict of all", self.outcome.verdict, self._call.verdict)

    def _evidence(self) -> Iterator[str]:
        evidence = self._call.evidence
        yield from _differ("source", evidence.source, "ring buffer")
        yield from _differ("lost", (evidence.lost, evidence.silent), (0, ()))
        yield from _differ("the sources agree", evidence.agree, True)
        yield from _differ("logged and seen", evidence.logged, evidence.seen)
        unlogged = self._killed - evidence.seen
        # a task that shares a victim's memory has no line of its own
        if unlogged and not unlogged <= self._with_sharers(evidence.seen - self._late):
            yield f"killed, but neither seen nor a sharer: {self._names(unlogged)}"
        lines = set(self._lines()) - {f.task.pid for f in self.outcome.tasks if self._refilled(f)}
        yield from _differ("lines of the log", lines, set(evidence.logged))

    def _lines(self) -> list[int]:
        """Return the PIDs of the log's lines; of a thread, where it names one, that of its hog."""
        found = (_KILLED.search(record.text) for record in self._call.log)
        named = [(int(match[1]), match[2]) for match in found if match]
        threads = {f.name: f.task.pid for f in self.outcome.tasks if f.kind == "threads"}
        return [pid if pid in self._tasks else threads.get(name, pid) for pid, name in named]

    def _timeline(self) -> Iterator[str]:
        line = self._call.timeline
        times = [stamp.at_ns for stamp in line.stamps]
        if times != sorted(times) or not sum(line.parts) == line.whole == times[-1] - times[0]:
            yield f"moments out of order: {line}"
        for pid in self._killed:
            marked = pid in self._call.evidence.seen
            names = ("killed", "marked", "exited") if marked else ("killed", "exited")
            at = [line.after_call(name, pid) for name in names]
            known = [moment for moment in at if moment is not None]
            if None in at or known != sorted(known):
                yield f"moments of {pid}: {dict(zip(names, at, strict=True))}"

    def _fates(self) -> Iterator[str]:
        found = {row.task.pid: row for row in self.outcome.tasks}
        if missing := self._tasks.keys() - found.keys():
            yield f"without a fate: {sorted(missing)}"
        if len(found) != len(self.outcome.tasks):
            yield "a task has two fates"
        for pid, row in found.items():
            wanted = self._wanted(row)
            what = (str(row.fate), row.phase, bool(row.kill), row.collateral)
            if what not in wanted:
                yield f"fate of {self._names([pid])}, {row.kind}: {what}, not {wanted}"

    def _refilled(self, row: TaskReport) -> bool:
        """Tell whether a forker that replaced its children ran into the lowered limit itself.

        The OOM killer of its charge chooses a task while the caller is still at it.
        """
        kill, via = row.kill, self._tree.call.via
        forkers = {hog.label for hog in self._tree.plan.hogs if hog.kind == "forker"}
        return bool(
            via == "limit"
            and kill
            and kill.invoker_comm in forkers
            and kill.invoker_pid != self._call.result.caller
        )

    def _wanted(self, row: TaskReport) -> list[tuple[str, Phase | None, bool, bool]]:
        pid = row.task.pid
        if pid in self._killed:
            return [("oom-killed", Phase.CALL, True, pid in self._call.collateral)]
        if self._refilled(row):
            shared = bool(row.kill and row.kill.role == "sharer")
            return [("oom-killed", Phase.BESIDE, True, shared)]
        survived = ("survived", None, False, False)
        if pid in self._orphans:
            ended = ("ended with its hog", Phase.BESIDE, False, False)
            return [ended] if pid in self._call.gone else [ended, survived]
        return [survived]

    def _counters(self, turns: Sequence[Turn]) -> Iterator[str]:
        lines = self._lines()
        for cgroup, events in self.outcome.events.items():
            low, high = self._counted(cgroup, lines)
            if not low <= events["oom_kill"] <= high:
                yield f"oom_kill of {cgroup}: {events['oom_kill']}, not {low} to {high}"
            groups = sum(turn.group is not None and is_within(turn.group, cgroup) for turn in turns)
            yield from _differ(f"oom_group_kill of {cgroup}", events["oom_group_kill"], groups)
            if self._tree.call.via == "bpf":
                yield from _differ(f"oom of {cgroup}", events["oom"], 0)
        if self._tree.target not in self.outcome.events:
            yield "no counters of the target"

    def _counted(self, cgroup: str, lines: Sequence[int]) -> tuple[int, int]:
        """Return what a cgroup's oom_kill may rise by: the kernel counts with each line of the log.

        It counts for the owner of the memory, which is its maker until that one has ended.
        """
        low = high = 0
        for place, pid in enumerate(lines):
            if pid not in self._tasks:  # which _evidence() tells
                continue
            memory = _memory(self._tasks[pid])
            homes = [t.cgroup for t in self._tasks.values() if _memory(t) == memory]
            if place == 0 and memory in self._tasks:
                homes = [self._tasks[memory].cgroup]
            within = [is_within(home, cgroup) for home in homes]
            low += all(within)
            high += any(within)
        return low, high


def _verdict(call: CallReport, limit: bool, turns: Sequence[Turn]) -> set[str]:
    if not turns:
        return {"none-died", "no-killable-task"} if limit else {"no-killable-task"}
    grouped = any(turn.group for turn in turns) and len(call.victims) > 1
    return {"group-killed"} if grouped else {"killed"}


def _memory(task: Task) -> int:
    """Name the memory that a task uses by the PID of its maker."""
    return task.shares or task.pid


def _differ(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: {found}, not {wanted}"
