"""Holds the outcome of an experiment against the model, and the report against itself. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from oomctl.fuzz import contract
from oomctl.fuzz.turns import CallKills, at_step
from oomctl.oom.as_text import returned
from oomctl.oom.enums import (
    Agreement,
    Do,
    EvidenceSource,
    FateKind,
    Moment,
    Oracle,
    Phase,
    Role,
    Via,
)
from oomctl.oom.fate import Fate
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Plan
from oomctl.oom.task import Task
from oomctl.oom.verdict import overall

_INVOKED = re.compile(r"^oomctl-caller invoked oom-killer: gfp_mask=[^(]*\((.*)\), order=(-?\d+),")
_KILLED = re.compile(r"Killed process (\d+) \((.*)\) total-vm")

Said = Iterator[tuple[Oracle, str]]


@dataclass(frozen=True)
class Disagreement:
    """What an oracle found, in words: both what was seen, and what should have been."""

    oracle: Oracle
    text: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.text}"


@dataclass(frozen=True)
class Judged:
    """An outcome of a plan beside the model."""

    plan: Plan
    outcome: Outcome

    @cached_property
    def calls(self) -> tuple[CallKills, ...]:
        """The kills of each call."""
        rows = self.outcome.tasks
        beside = [row.kill for row in rows if row.kill and row.phase == Phase.BESIDE]
        seen = [task for call in self.outcome.calls for task in _candidates(call)]
        tasks = {task.pid: task for task in (*(f.task for f in self.outcome.tasks), *seen)}
        return tuple(
            CallKills(
                at_step(self.plan, call.step),
                call,
                tasks | {task.pid: task for task in _candidates(call)},
                _others(call, self.outcome.calls),
                beside,
            )
            for call in self.outcome.calls
        )

    @cached_property
    def _killed_by_steps(self) -> frozenset[str]:
        """The names of the hogs that were sent SIGKILL by an action."""
        made = (one.action for one in self.outcome.actions if not one.failed)
        return frozenset(action.hog for action in made if action.do == Do.KILL)

    @cached_property
    def agreement(self) -> Agreement:
        """Whether the predicted died, or others that may by the error of the kernel's counters."""
        if self.disagreements:
            return Agreement.DIFFERS
        first = all(turn.first for each in self.calls for turn in each.turns or ())
        return Agreement.AGREED if first else Agreement.EXPLAINED

    @cached_property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """What is wrong with the kernel, the model or the report; empty if nothing is."""
        return tuple(Disagreement(oracle, text) for oracle, text in self._all())

    def unread(self, records: Iterable[Record]) -> list[int]:
        """Return the PIDs that records of the kernel log name as killed, and no call's log does."""
        read = {record.text for call in self.outcome.calls for record in call.log}
        found = (_KILLED.search(each.text) for each in records if each.text not in read)
        return [int(match[1]) for match in found if match]

    def __str__(self) -> str:
        return "; ".join(
            f"predicted {self._names(each.prediction.victims)}, died {self._names(each.killed)}"
            for each in self.calls
        )

    def _all(self) -> Said:
        if self.outcome.failure:
            yield Oracle.CARRIED_OUT, "; ".join(self.outcome.failure.lines)
        for each in self.calls:
            if each.call.result.timed_out:
                yield Oracle.TIME, f"a call did not return within {self.plan.timeout:g} s"
        wrong = [each for each in self.calls if not self._is_explained(each)]
        for each in wrong:
            predicted, died = map(self._names, (each.prediction.victims, each.killed))
            refused = (
                "" if contract.is_valid(each.call.call) else ", although its argument is invalid"
            )
            yield Oracle.VICTIMS, f"predicted {predicted}, died {died}{refused}"
        if wrong:
            return
        for each in self.calls:
            yield from self._victims(each)
            yield from self._answer(each)
            yield from self._evidence(each)
            yield from self._timeline(each)
        verdict = overall([each.verdict for each in self.outcome.calls])
        yield from _differ(Oracle.VERDICT, "verdict of all", self.outcome.verdict, verdict)
        yield from self._fates()
        yield from self._counters()
        for difference in self.outcome.counts.unexplained if self.outcome.counts else ():
            text = f"{difference.source} lacks {difference.number} of the kills that were counted"
            yield Oracle.COUNTS, text

    def _names(self, pids: Iterable[int]) -> list[str]:
        names = {row.task.pid: row.name for row in self.outcome.tasks}
        return [f"{names.get(pid)} ({pid})" for pid in sorted(pids)]

    def _is_explained(self, each: CallKills) -> bool:
        return each.turns is not None if contract.is_valid(each.call.call) else not each.killed

    def _victims(self, each: CallKills) -> Said:
        if each.call.call.via == Via.KILL:
            return
        turns = contract.turns(each)
        predicted = {pid for turn in turns for pid in turn.victims}
        victims, call = (predicted & each.killed) | each.late, each.call
        yield from _differ(Oracle.VICTIMS, "victims", set(call.victims), victims)
        yield from _differ(
            Oracle.VICTIMS, "collateral", set(call.collateral), each.killed - victims
        )
        taken = (turn for turn in turns if turn.group and not each.killed.isdisjoint(turn.victims))
        members = {pid for turn in taken for pid in turn.victims}
        yield from _differ(Oracle.VICTIMS, "gone", set(call.gone), members - each.killed)

    def _answer(self, each: CallKills) -> Said:
        call = each.call
        returns, verdicts = contract.returns(each), contract.verdicts(each)
        if call.result.ret not in returns:
            wanted = " or ".join(sorted(map(returned, returns)))
            yield Oracle.RETURN, f"return value: {returned(call.result.ret)}, not {wanted}"
        if call.verdict.name not in verdicts:
            wanted = " or ".join(sorted(verdicts))
            yield Oracle.VERDICT, f"{call.verdict.name} ({call.verdict.reason}), not {wanted}"

    def _evidence(self, each: CallKills) -> Said:
        evidence = each.call.evidence
        about = Oracle.EVIDENCE
        by_cgroup = each.call.call.via == Via.KILL
        source = EvidenceSource.WAIT_STATUS if by_cgroup else EvidenceSource.RING_BUFFER
        yield from _differ(about, "source", evidence.source, source)
        yield from _differ(about, "lost", (evidence.lost, evidence.silent), (0, ()))
        if not contract.is_valid(each.call.call) or by_cgroup:
            return
        yield from _differ(about, "the sources agree", evidence.agree, True)
        yield from _differ(about, "logged and seen", evidence.logged, evidence.seen)
        yield from self._invocation(each)
        unlogged = each.killed - evidence.seen
        # a task that shares a victim's memory has no line of its own
        if unlogged and not unlogged <= each.with_sharers(evidence.seen - each.late):
            yield about, f"killed, but neither seen nor a sharer: {self._names(unlogged)}"
        lines = set(self._lines(each)) - each.refilled
        logged = evidence.logged.union(*(other.evidence.logged for other in each.others))
        if each.call.log or not each.others:  # the first of callers at once has the log of all
            yield from _differ(about, "lines of the log", lines, set(logged))

    def _invocation(self, each: CallKills) -> Said:
        """Hold what the log says of the OOM killer's start against the call; it may say nothing."""
        found = [m.groups() for record in each.call.log if (m := _INVOKED.search(record.text))]
        if each.again or not found:
            return
        wanted = ("GFP_KERNEL", str(each.call.call.order))
        yield from _differ(Oracle.EVIDENCE, "gfp_mask and order in the log", {*found}, {wanted})
        if len(found) > 1 + len(each.others):
            yield Oracle.EVIDENCE, f"the log has {len(found)} runs of the OOM killer in one call"

    def _lines(self, each: CallKills) -> list[int]:
        """Return the PIDs of the log's lines; of a thread, where it names one, that of its hog."""
        found = (_KILLED.search(record.text) for record in each.call.log)
        named = [(int(match[1]), match[2]) for match in found if match]
        threads = {f.name: f.task.pid for f in self.outcome.tasks if f.kind == "threads"}
        return [pid if pid in each.tasks else threads.get(name, pid) for pid, name in named]

    def _timeline(self, each: CallKills) -> Said:
        line = each.call.timeline
        times = [stamp.at_ns for stamp in line.stamps]
        if times != sorted(times) or not sum(line.parts) == line.whole == times[-1] - times[0]:
            yield Oracle.TIMELINE, f"moments out of order: {line}"
        for pid in each.killed if each.call.call.via != Via.KILL else ():
            marked = [Moment.MARKED] if pid in each.call.evidence.seen else []
            names = [Moment.KILLED, *marked, Moment.EXITED]
            at = [line.after_call(name, pid) for name in names]
            known = [moment for moment in at if moment is not None]
            if None in at or known != sorted(known):
                seen = ", ".join(f"{n} {a}" for n, a in zip(names, at, strict=True))
                yield Oracle.TIMELINE, f"moments of {self._names([pid])}: {seen}"

    def _fates(self) -> Said:
        found = {row.task.pid: row for row in self.outcome.tasks}
        tasks = self.calls[0].tasks if self.calls else {}
        if missing := tasks.keys() - found.keys():
            yield Oracle.FATES, f"without a fate: {sorted(missing)}"
        if len(found) != len(self.outcome.tasks):
            yield Oracle.FATES, "a task has two fates"
        for pid, row in found.items():
            wanted = self._wanted(row)
            what = (str(row.fate), row.phase, bool(row.kill), row.collateral)
            if what not in wanted:
                yield Oracle.FATES, f"{self._names([pid])}, {row.kind}: {what}, not {wanted}"

    def _wanted(self, row: TaskReport) -> list[tuple[str, Phase | None, bool, bool]]:
        pid = row.task.pid
        for each in self.calls:
            if pid in each.killed and each.call.call.via == Via.KILL:
                return [(str(Fate(FateKind.CGROUP_KILLED)), Phase.CALL, False, False)]
            if pid in each.killed:
                return [("oom-killed", Phase.CALL, True, pid in each.call.collateral)]
            if pid in each.refilled:
                shared = bool(row.kill and row.kill.role == Role.SHARER)
                return [("oom-killed", Phase.BESIDE, True, shared)]
        if row.name in self._killed_by_steps:
            return [(str(Fate(FateKind.STEP_KILLED)), Phase.BESIDE, False, False)]
        survived = ("survived", None, False, False)
        if any(pid in each.orphans for each in self.calls):
            ended = ("ended with its hog", Phase.BESIDE, False, False)
            must_end = row.task.shares or any(pid in each.call.gone for each in self.calls)
            return [ended] if must_end else [ended, survived]
        return [survived]

    def _counters(self) -> Said:
        about = Oracle.COUNTERS
        for cgroup, events in self.outcome.events.items():
            bounds = [self._counted(cgroup, each, self._lines(each)) for each in self.calls]
            low, high = (sum(bound[end] for bound in bounds) for end in (0, 1))
            if not low <= events["oom_kill"] <= high:
                yield about, f"oom_kill of {cgroup}: {events['oom_kill']}, not {low} to {high}"
            groups = sum(
                turn.group is not None and is_within(turn.group, cgroup)
                for each in self.calls
                for turn in contract.turns(each)
            )
            what = f"oom_group_kill of {cgroup}"
            yield from _differ(about, what, events["oom_group_kill"], groups)
            if not any(each.again for each in self.calls):
                yield from _differ(about, f"oom of {cgroup}", events["oom"], 0)
        for each in self.calls:
            if each.target not in self.outcome.events:
                yield about, f"no counters of {each.target}"

    def _counted(self, cgroup: str, each: CallKills, lines: Sequence[int]) -> tuple[int, int]:
        """Return what a cgroup's oom_kill may rise by: the kernel counts with each line of the log.

        It counts for the owner of the memory, which is its maker until that one has ended.
        """
        low = high = 0
        for place, pid in enumerate(lines):
            if pid not in each.tasks:  # which _evidence() tells
                continue
            memory = each.tasks[pid].memory
            homes = [t.cgroup for t in each.tasks.values() if t.memory == memory]
            if place == 0 and memory in each.tasks:
                homes = [each.tasks[memory].cgroup]
            within = [is_within(home, cgroup) for home in homes]
            low += all(within)
            high += any(within)
        return low, high


def _others(call: CallReport, calls: Iterable[CallReport]) -> tuple[CallReport, ...]:
    """Return the calls that were made at the same moment."""
    turn = call.step, call.turn
    return tuple(one for one in calls if one is not call and (one.step, one.turn) == turn)


def _candidates(call: CallReport) -> list[Task]:
    return [one.task for one in call.prediction.candidates] if call.prediction else []


def _differ(oracle: Oracle, what: str, found: object, wanted: object) -> Said:
    if found != wanted:
        yield oracle, f"{what}: {found}, not {wanted}"
