"""What one declaration did, put together from everything that was seen and heard. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

from oomctl.answer import Answer
from oomctl.event import Event, Kind
from oomctl.evidence import Kill
from oomctl.klog import KernelLog, LogKill
from oomctl.outcome import Declared, Evidence
from oomctl.plan import Call
from oomctl.prediction import Lineup, Prediction
from oomctl.task import Task
from oomctl.timeline import Stamp, timeline
from oomctl.verdict import Circumstances, judge

SYSRQ_ORDER = -1
"""The order by which the OOM killer knows sysrq's (mm/oom_kill.c, is_sysrq_oom)."""

_OF_THE_CALL = {Kind.OOM_BEGIN, Kind.OOM_END, Kind.SIGKILL, Kind.MARK_VICTIM}


@dataclass(frozen=True)
class Asked:
    """One declaration as it was made: what was known before, the answer, what came with it.

    `events` and `log` are what was seen and heard from just before the call until it returned,
    that of other callers of the same turn included; `group_kills` is the rise of oom_group_kill.
    `members` are the processes of the target by PID, for a trigger that takes them all. `later` are
    moments that user space saw.
    """

    call: Call
    cgroup_id: int | None
    answer: Answer
    events: tuple[Event, ...]
    log: KernelLog
    lost: int
    group_kills: int
    lineup: Lineup | None = None
    pressure: Mapping[str, int] = field(default_factory=dict)
    later: tuple[Stamp, ...] = ()
    step: int = 0
    turn: int = 0
    members: Mapping[int, Task] = field(default_factory=dict)

    @property
    def trigger(self) -> int:
        """The PID of who ran the OOM killer: the caller, but for sysrq a worker of the kernel."""
        if self.call.via != "sysrq":
            return self.answer.caller
        begun = (e for e in self.events if e.kind is Kind.OOM_BEGIN and e.order == SYSRQ_ORDER)
        return next((e.pid for e in begun), 0)

    @property
    def locked_ns(self) -> int:
        """When it had oom_lock; without that, when it came back."""
        begun = [e.at_ns for e in _of_the_call(self) if e.kind is Kind.OOM_BEGIN]
        return min(begun, default=self.answer.ended_ns or self.answer.began_ns)


@dataclass(frozen=True)
class Aftermath:
    """What is known once everybody has ended, of all declarations together.

    `events` are all that were ever seen; `ended` has the CLOCK_MONOTONIC ns of every known death by
    PID, `sigkilled` those of them that SIGKILL ended, as far as is known. `owns` tells whether a
    kill that only the log reports belongs to a target; `path_of` names a cgroup by its id.
    `why_not` says why nothing was traced, and is empty where it was.
    """

    events: tuple[Event, ...]
    ended: Mapping[int, int]
    owns: Callable[[Kill, str | None], bool]
    path_of: Callable[[int], str | None]
    why_not: str = ""
    sigkilled: Set[int] = frozenset()


def sent_sigkill(asked: Asked) -> dict[int, Event]:
    """Return the event of every process that this declaration's OOM killer sent SIGKILL, by PID."""
    return {e.tgid: e for e in _of_the_call(asked) if e.kind is Kind.SIGKILL}


def killed_by(asked: Asked, after: Aftermath, earlier: Collection[int] = ()) -> dict[int, Kill]:
    """Return who was killed by PID, from tracing and log together.

    Tracing knows whose declaration it was; where it is missing, or has lost something, a kill of
    the log counts if it is in the target, the log does not name another caller, and none of the
    `earlier` declarations has it.
    """
    if asked.call.via == "kill":
        return _killed_with_cgroup(asked, after)
    shot = sent_sigkill(asked)
    complete = not after.why_not and not asked.lost
    logged = {
        kill.pid: kill
        for kill in map(_of_log, asked.log.kills)
        if kill.pid in shot
        or (
            not complete
            and kill.pid not in earlier
            and kill.trigger in (None, asked.trigger or None)
            and after.owns(kill, asked.call.target)
        )
    }
    traced = {
        pid: Kill(pid, event.comm, event.rss, after.path_of(event.cgroup_id), event.oom_score_adj)
        for pid, event in shot.items()
        if pid not in logged
    }
    return logged | traced


def _of_log(kill: LogKill) -> Kill:
    cgroup, adj = kill.cgroup or kill.group, kill.oom_score_adj
    return Kill(kill.pid, kill.comm, kill.rss, cgroup, adj, kill.trigger_pid)


def _killed_with_cgroup(asked: Asked, after: Aftermath) -> dict[int, Kill]:
    """Return the target's members that SIGKILL ended after the write; nobody logs those."""
    began = asked.answer.began_ns
    return {
        pid: Kill(pid, task.comm, task.rss, task.cgroup, task.oom_score_adj)
        for pid, task in asked.members.items()
        if pid in after.sigkilled and after.ended.get(pid, 0) >= began
    }


def account(asked: Asked, earlier: Collection[int], after: Aftermath) -> Declared:
    """Judge one declaration; `earlier` are the PIDs that declarations before it killed."""
    own = _of_the_call(asked)
    marked = {e.tgid: e for e in own if e.kind is Kind.MARK_VICTIM}
    shot = sent_sigkill(asked)
    kills = killed_by(asked, after, earlier)
    collateral = frozenset(shot.keys() - marked.keys()) if marked else frozenset()
    victims = frozenset(kills) - collateral
    died = [kill for kill in kills.values() if kill.pid in after.ended]
    evidence = _evidence(asked, frozenset(shot.keys() & marked.keys()), victims, after)
    prediction = asked.lineup.predict(earlier) if asked.lineup else None
    circumstances = Circumstances(
        system_wide=asked.call.target is None,
        in_flight=[
            f"pid {pid}" for pid in earlier if after.ended.get(pid, 2**63) > asked.answer.began_ns
        ],
        marked_only=[_name(e.comm, pid) for pid, e in marked.items() if pid not in shot],
        caller_marked=asked.answer.caller in marked and asked.answer.caller not in shot,
        caller_killed=asked.answer.caller in shot,
        expected=_missed(asked.call, prediction, victims),
        via=asked.call.via,
    )
    verdict = judge(
        asked.answer,
        [_name(kill.comm, kill.pid) for kill in died if kill.pid not in collateral],
        asked.group_kills,
        asked.log.found_no_killable,
        circumstances,
    )
    about = set(kills) | marked.keys()
    aftermath = [
        e
        for e in after.events
        if e.kind not in _OF_THE_CALL
        and e.at_ns >= asked.answer.began_ns
        and (e.tgid in about or e.pid in {m.pid for m in marked.values()})
    ]
    return Declared(
        asked.call,
        asked.cgroup_id,
        asked.answer,
        tuple(kills.values()),
        verdict,
        evidence=evidence,
        timeline=timeline(asked.answer, [*_once(own), *aftermath], asked.later),
        prediction=prediction,
        step=asked.step,
        turn=asked.turn,
        collateral=collateral,
        pressure=asked.pressure,
        log=asked.log.records,
    )


def _of_the_call(asked: Asked) -> list[Event]:
    """Return what the caller's own run through the OOM killer did, and nobody else's."""
    return [e for e in asked.events if e.kind in _OF_THE_CALL and e.trigger_pid == asked.trigger]


def _once(own: Sequence[Event]) -> list[Event]:
    """Leave out all but the first entry into the OOM killer and the last end of it.

    Who writes memory.max goes in again and again until the usage is below (mm/memcontrol.c,
    memory_max_write).
    """
    begun = [e for e in own if e.kind is Kind.OOM_BEGIN][1:]
    ended = [e for e in own if e.kind is Kind.OOM_END][:-1]
    left_out = {id(event) for event in (*begun, *ended)}
    return [event for event in own if id(event) not in left_out]


def _evidence(
    asked: Asked, seen: frozenset[int], victims: frozenset[int], after: Aftermath
) -> Evidence:
    if asked.call.via == "kill":
        return Evidence("wait status", lost=asked.lost)
    logged = frozenset(kill.pid for kill in asked.log.kills if kill.pid in victims)
    if after.why_not:
        return Evidence("kernel log", after.why_not, logged=logged, lost=asked.lost)
    agree = None if asked.lost else seen == logged
    return Evidence("ring buffer", "", seen, logged, agree, asked.lost)


def _missed(call: Call, prediction: Prediction | None, victims: frozenset[int]) -> Sequence[str]:
    """Name who should have died instead.

    A limit may take more than one, and cgroup.kill does not choose. Nobody where the choice is
    within the error of the kernel's counters, or fell on a task that was born after the look.
    """
    if prediction is None or not victims or prediction.agrees(victims) or call.via == "kill":
        return ()
    if call.via == "limit" and victims >= set(prediction.victims):
        return ()
    comms = {c.task.pid: c.task.comm for c in prediction.candidates}
    if prediction.explains(victims) or not victims <= comms.keys():
        return ()
    return [_name(comms.get(pid, "?"), pid) for pid in prediction.victims] or ["nobody"]


def _name(comm: str, pid: int) -> str:
    return f"{comm} (pid {pid})"
