"""What one declaration did, put together from everything that was seen and heard. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from oomctl.answer import Answer
from oomctl.event import Event, Kind
from oomctl.evidence import KernelLog, Kill
from oomctl.outcome import Declared, Evidence
from oomctl.plan import Call
from oomctl.prediction import Prediction
from oomctl.timeline import Stamp, timeline
from oomctl.verdict import Circumstances, judge

_OF_THE_CALL = {Kind.OOM_BEGIN, Kind.OOM_END, Kind.SIGKILL, Kind.MARK_VICTIM}


@dataclass(frozen=True)
class Asked:
    """One declaration as it was made: what was known before, the answer, what came with it.

    `events` and `log` are what was seen and heard from just before the call until it returned;
    `group_kills` is the rise of oom_group_kill. `later` are moments that user space saw.
    """

    call: Call
    cgroup_id: int | None
    answer: Answer
    events: tuple[Event, ...]
    log: KernelLog
    lost: int
    group_kills: int
    prediction: Prediction | None = None
    pressure: Mapping[str, int] = field(default_factory=dict)
    later: tuple[Stamp, ...] = ()


@dataclass(frozen=True)
class Aftermath:
    """What is known once everybody has ended, of all declarations together.

    `events` are all that were ever seen; `ended` has the CLOCK_MONOTONIC ns of every known death
    by PID. `owns` tells whether a kill that only the log reports is ours; `path_of` names a cgroup
    by its id. `why_not` says why nothing was traced, and is empty where it was.
    """

    events: tuple[Event, ...]
    ended: Mapping[int, int]
    owns: Callable[[Kill], bool]
    path_of: Callable[[int], str | None]
    why_not: str = ""


def sent_sigkill(asked: Asked) -> dict[int, Event]:
    """Return the event of every process that this declaration's OOM killer sent SIGKILL, by PID."""
    return {e.tgid: e for e in _of_the_call(asked) if e.kind is Kind.SIGKILL}


def killed_by(asked: Asked, after: Aftermath) -> dict[int, Kill]:
    """Return who was killed by PID, from tracing and log together.

    Tracing knows whose declaration it was; where it is missing, or has lost something, a kill of
    the log counts if it is in the target.
    """
    shot = sent_sigkill(asked)
    complete = not after.why_not and not asked.lost
    logged = {
        kill.pid: kill
        for kill in asked.log.kills
        if kill.pid in shot or (not complete and after.owns(kill))
    }
    traced = {
        pid: Kill(pid, event.comm, event.rss, after.path_of(event.cgroup_id), event.oom_score_adj)
        for pid, event in shot.items()
        if pid not in logged
    }
    return logged | traced


def account(asked: Asked, earlier: Collection[int], after: Aftermath) -> Declared:
    """Judge one declaration; `earlier` are the PIDs that declarations before it killed."""
    own = _of_the_call(asked)
    marked = {e.tgid: e for e in own if e.kind is Kind.MARK_VICTIM}
    shot = sent_sigkill(asked)
    kills = killed_by(asked, after)
    collateral = frozenset(shot.keys() - marked.keys()) if marked else frozenset()
    victims = frozenset(kills) - collateral
    died = [kill for kill in kills.values() if kill.pid in after.ended]
    evidence = _evidence(asked, frozenset(shot.keys() & marked.keys()), victims, after)
    prediction = asked.prediction
    circumstances = Circumstances(
        system_wide=asked.call.target is None,
        in_flight=[
            f"pid {pid}" for pid in earlier if after.ended.get(pid, 2**63) > asked.answer.began_ns
        ],
        marked_only=[_name(e.comm, pid) for pid, e in marked.items() if pid not in shot],
        caller_marked=asked.answer.caller in marked and asked.answer.caller not in shot,
        caller_killed=asked.answer.caller in shot,
        expected=_missed(prediction, victims),
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
        timeline=timeline(asked.answer, [*own, *aftermath], asked.later),
        prediction=prediction,
        collateral=collateral,
        pressure=asked.pressure,
        log=asked.log.records,
    )


def _of_the_call(asked: Asked) -> list[Event]:
    """Return what the caller's own run through the OOM killer did, and nobody else's."""
    return [
        e for e in asked.events if e.kind in _OF_THE_CALL and e.trigger_pid == asked.answer.caller
    ]


def _evidence(
    asked: Asked, seen: frozenset[int], victims: frozenset[int], after: Aftermath
) -> Evidence:
    logged = frozenset(kill.pid for kill in asked.log.kills if kill.pid in victims)
    if after.why_not:
        return Evidence("kernel log", after.why_not, logged=logged, lost=asked.lost)
    agree = None if asked.lost else seen == logged
    return Evidence("ring buffer", "", seen, logged, agree, asked.lost)


def _missed(prediction: Prediction | None, victims: frozenset[int]) -> Sequence[str]:
    """Name who should have died instead.

    Nobody where the choice is within the error of the kernel's counters, or fell on a task that
    was born after the look.
    """
    if prediction is None or not victims or prediction.agrees(victims):
        return ()
    comms = {c.task.pid: c.task.comm for c in prediction.candidates}
    if prediction.explains(victims) or not victims <= comms.keys():
        return ()
    return [_name(comms.get(pid, "?"), pid) for pid in prediction.victims] or ["nobody"]


def _name(comm: str, pid: int) -> str:
    return f"{comm} (pid {pid})"
