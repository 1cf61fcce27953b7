"""The report of one call: its kills, verdict, evidence and timeline. Pure."""

from collections.abc import Collection, Mapping, Sequence

from oomctl.oom.as_text import task_name
from oomctl.oom.attribution import MARKS, OF_THE_CALL, SIGNALS, CallObservation, PostRun, killed_by
from oomctl.oom.enums import EvidenceSource, Role, Via
from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, Evidence
from oomctl.oom.plan import Call
from oomctl.oom.prediction import Prediction
from oomctl.oom.timeline import timeline
from oomctl.oom.verdict import Circumstances, judge


def account(observation: CallObservation, earlier: Collection[int], after: PostRun) -> CallReport:
    """Combine the events and log records of one call into its report.

    `earlier` are the PIDs that the OOM killer took before the call.
    """
    own = observation.own
    marked = {e.tgid: e for e in own if e.kind is EventKind.MARK_VICTIM}
    kills = killed_by(observation, after, earlier)
    prediction = None
    if observation.candidates and not observation.disturbed:
        prediction = observation.candidates.predict(earlier)
    members = _members(observation, kills, prediction)
    # a task of the killed group that also shares a victim's memory is a victim
    collateral = frozenset(p for p, one in kills.items() if one.role == Role.SHARER) - members
    victims = frozenset(kills) - collateral
    gone = (members - kills.keys() - {*earlier}) & after.ended.keys()
    caller = observation.result.caller
    circumstances = Circumstances(
        system_wide=observation.call.target is None,
        in_flight=[
            f"pid {pid}"
            for pid in earlier
            if after.ended.get(pid, 2**63) > observation.result.began_ns
        ],
        marked_only=[task_name(e.comm, pid) for pid, e in marked.items() if pid not in kills],
        caller_marked=caller in marked and caller not in kills,
        caller_killed=caller in kills,
        expected=_missed(observation.call, prediction, victims, gone),
        not_ended=[task_name(kills[p].comm, p) for p in victims if p not in after.ended],
        counted=_unreported(observation),
        via=observation.call.via,
    )
    verdict = judge(
        observation.result,
        [task_name(one.comm, one.pid) for one in kills.values() if one.pid not in collateral],
        _groups(observation, kills, prediction),
        observation.log.found_no_killable,
        circumstances,
    )
    about = {*kills, *marked}
    threads = {e.pid for e in marked.values()}
    aftermath = [
        e
        for e in after.events
        if e.kind not in OF_THE_CALL
        and e.at_ns >= observation.result.began_ns
        and (e.tgid in about or e.pid in threads)
    ]
    return CallReport(
        observation.call,
        observation.cgroup_id,
        observation.result,
        tuple(kills.values()),
        verdict,
        evidence=_evidence(observation, kills, after),
        timeline=timeline(observation.result, [*_once(own), *aftermath], observation.later),
        prediction=prediction,
        step=observation.step,
        turn=observation.turn,
        collateral=collateral,
        gone=gone,
        pressure=observation.pressure,
        log=observation.log.records,
        disturbed=observation.disturbed,
    )


def _once(own: Sequence[Event]) -> list[Event]:
    """Keep only the first entry into out_of_memory() and the last return from it.

    A write to memory.max enters it until the usage is below the limit (mm/memcontrol.c,
    memory_max_write).
    """
    begun = [e for e in own if e.kind is EventKind.OOM_BEGIN][1:]
    ended = [e for e in own if e.kind is EventKind.OOM_END][:-1]
    left_out = {id(event) for event in (*begun, *ended)}
    return [event for event in own if id(event) not in left_out]


def _groups(
    observation: CallObservation, kills: Mapping[int, OomKill], prediction: Prediction | None
) -> int:
    """Return how many groups memory.oom.group killed, by the counter or by the log.

    If neither reports a group, several kills count as one if it was predicted and every victim is
    in it: a removed cgroup has no counter, and older kernels have none. So two choices of the OOM
    killer inside a predicted group are not told from a kill of that group.
    """
    reported = max(observation.group_kills, len({kill.group for kill in kills.values()} - {None}))
    if reported or len(kills) < 2 or not (prediction and prediction.group):
        return reported
    members = observation.candidates.members(prediction.group) if observation.candidates else ()
    return int({pid for pid, kill in kills.items() if kill.role != Role.SHARER} <= {*members})


def _unreported(observation: CallObservation) -> int:
    """Return how many kills the target's oom_kill counts beyond those that a source reports.

    oom_kill counts the first victim of a group twice (mm/oom_kill.c, oom_kill_process).
    """
    reported = observation.taken_by_others | {said.pid for said in observation.logged}
    groups = {(said.group, said.invoker_pid) for said in observation.logged if said.group}
    return (observation.counted or 0) - len(reported) - max(observation.group_kills, len(groups))


def _members(
    observation: CallObservation, kills: Mapping[int, OomKill], prediction: Prediction | None
) -> frozenset[int]:
    """Return all PIDs of the groups that memory.oom.group killed, also of members that survived.

    The kernel log names the group, but in a cgroup namespace by a path that differs from ours. In
    that case, and without a log, the predicted group is used, unless none of its members was
    killed: then the counter rose for another caller.
    """
    named = {one.group for one in kills.values() if one.group}
    if (
        observation.candidates is None
        or prediction is None
        or not kills
        or not (named or prediction.group)
    ):
        return frozenset()
    groups = named & observation.candidates.groups
    logged = any(one.logged for one in kills.values())
    if prediction.group and not groups and (named or observation.group_kills or not logged):
        groups = {prediction.group}
    members = [observation.candidates.members(each) for each in groups]
    return frozenset(pid for each in members if not kills.keys().isdisjoint(each) for pid in each)


def _evidence(
    observation: CallObservation, kills: Mapping[int, OomKill], after: PostRun
) -> Evidence:
    if observation.call.via == Via.KILL:
        return Evidence(EvidenceSource.WAIT_STATUS, lost=observation.lost)
    victims = [one for one in kills.values() if one.role == Role.VICTIM]
    logged = frozenset(one.pid for one in victims if one.logged)
    if after.no_tracing_reason:
        return Evidence(
            EvidenceSource.KERNEL_LOG, after.no_tracing_reason, logged=logged, lost=observation.lost
        )
    seen = frozenset(one.pid for one in victims if one.traced)
    blind = (SIGNALS | MARKS).intersection(observation.silent)
    agree = None if observation.lost or blind else seen == logged
    return Evidence(
        EvidenceSource.RING_BUFFER, "", seen, logged, agree, observation.lost, observation.silent
    )


def _missed(
    call: Call, prediction: Prediction | None, victims: frozenset[int], gone: frozenset[int]
) -> Sequence[str]:
    """Name the tasks that oom_badness() predicts, if the kernel chose others.

    A limit may kill more than the predicted task, and cgroup.kill does not choose. Empty if the
    scores were too close to tell, or if a victim was started after the candidates were read.
    """
    if prediction is None or not victims or call.via == Via.KILL:
        return ()
    more = call.via == Via.LIMIT
    if prediction.agrees(victims | gone, more) or prediction.explains(victims | gone, more):
        return ()
    comms = {c.task.pid: c.task.comm for c in prediction.candidates}
    if not victims <= comms.keys():
        return ()
    return [task_name(comms.get(pid, "?"), pid) for pid in prediction.victims] or ["no task"]
