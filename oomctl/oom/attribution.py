"""Whose doing a kill was: what each source tells, put down to the call that caused it. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from oomctl.oom.call import CallResult
from oomctl.oom.enums import Constraint, Role, Via
from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import HITS, OomKill, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import Call
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task
from oomctl.oom.timeline import Stamp

SIGNALS = frozenset({"sigkill", "oom_begin"})
"""Programs without which no SIGKILL of the OOM killer is told (bpf/observer.bpf.c, sigkill)."""
MARKS = frozenset({"mark_victim", "mark_victim_pid"})
"""Programs of which one tells of marks (72ba14deb40a changed the tracepoint's arguments)."""

SYSRQ_ORDER = -1
"""The order by which the OOM killer knows sysrq's (mm/oom_kill.c, is_sysrq_oom)."""

OF_THE_CALL = {EventKind.OOM_BEGIN, EventKind.OOM_END, EventKind.SIGKILL, EventKind.MARK_VICTIM}


@dataclass(frozen=True)
class CallObservation:
    """One declaration as it was made: what was known before, the answer, what came with it.

    `events`, `log` and `logged` (the kills that this tells of) are what was seen and heard from
    just before the call until it returned, that of other callers of the same turn included;
    `silent` names the observer's programs that must have run meanwhile and did not. `group_kills`
    is the rise of oom_group_kill, `counted` that of the target's oom_kill; None where it could not
    be read. `taken` are the PIDs that the OOM killer had taken before, whoever called it. `members`
    are the processes of the target by PID, for a trigger that takes them all. `later` are moments
    that user space saw.
    """

    call: Call
    cgroup_id: int | None
    result: CallResult
    events: tuple[Event, ...]
    log: KernelLog
    lost: int
    group_kills: int
    candidates: Candidates | None = None
    pressure: Mapping[str, int] = field(default_factory=dict)
    later: tuple[Stamp, ...] = ()
    step: int = 0
    turn: int = 0
    members: Mapping[int, Task] = field(default_factory=dict)
    taken: frozenset[int] = frozenset()
    logged: tuple[OomKill, ...] = ()
    silent: tuple[str, ...] = ()
    counted: int | None = None

    @property
    def own(self) -> list[Event]:
        """What the caller's own run through the OOM killer did, and nobody else's."""
        return [e for e in self.events if e.kind in OF_THE_CALL and e.invoker_pid == self.trigger]

    @property
    def taken_by_others(self) -> set[int]:
        """The PIDs that other runs through the OOM killer took in the meantime."""
        return {e.tgid for e in self.events if e.kind in HITS and e.invoker_pid != self.trigger}

    @property
    def trigger(self) -> int:
        """The PID of who ran the OOM killer: the caller, but for sysrq a worker of the kernel."""
        if self.call.via != Via.SYSRQ:
            return self.result.caller
        seen = [e.pid for e in self.events if e.order == SYSRQ_ORDER]
        said = [one.invoker_pid for one in self.logged if one.order == SYSRQ_ORDER]
        return next((pid for pid in (*seen, *said) if pid), 0)

    @property
    def locked_ns(self) -> int:
        """When it had oom_lock; without that, when it came back."""
        begun = [e.at_ns for e in self.own if e.kind is EventKind.OOM_BEGIN]
        return min(begun, default=self.result.ended_ns or self.result.began_ns)


@dataclass(frozen=True)
class PostRun:
    """What is known once everybody has ended, of all declarations together.

    `events` are all that were ever seen; `ended` has the CLOCK_MONOTONIC ns of every known death by
    PID, `sigkilled` those of them that SIGKILL ended, as far as is known. `tasks` are those that
    were ever looked at. `owns` tells whether a kill that only the log reports belongs to a target;
    `path_of` names a cgroup by its id. `no_tracing_reason` says why nothing was traced, empty if
    it was.
    """

    events: Sequence[Event]
    ended: Mapping[int, int]
    owns: Callable[[OomKill, str | None], bool]
    path_of: Callable[[int], str | None]
    no_tracing_reason: str = ""
    sigkilled: Set[int] = frozenset()
    tasks: Sequence[Task] = ()


def killed_by(
    observation: CallObservation, after: PostRun, earlier: Collection[int] = ()
) -> dict[int, OomKill]:
    """Return what each source tells of whom the OOM killer took for this call, by PID.

    Tracing knows whose call it was. A kill that only the log tells of counts if its report names
    this caller; where it names none, if nobody else was seen taking that task, none of the
    `earlier` did, and it is in the target.
    """
    if observation.call.via == Via.KILL:
        return _killed_with_cgroup(observation, after)
    known = (*after.tasks, *(observation.candidates.tasks if observation.candidates else ()))
    threads = threads_of(observation.events) | {
        task.thread: task.pid for task in known if task.thread
    }
    seen = [_named(one, after.path_of) for one in traced(observation.own)]
    of_others = observation.taken_by_others
    said = by_process(observation.logged, threads)
    pids = {one.pid for one in seen}
    mine = [
        one
        for one in said
        if one.pid in pids
        or (one.pid not in of_others and one.pid not in earlier and _is_of(one, observation, after))
    ]
    kills = {one.pid: one for one in reconcile(seen, mine)}
    if after.no_tracing_reason or observation.silent or observation.lost:
        kills = _unseen(kills, observation, after, known, earlier)
    return {pid: one for pid, one in kills.items() if one.role != Role.EXITING}


def _is_of(said: OomKill, observation: CallObservation, after: PostRun) -> bool:
    """Tell whether a kill of the log belongs to a call, by its report or else by its place."""
    target = observation.call.target
    if said.constraint is not None and (said.constraint == Constraint.MEMCG) != (
        target is not None
    ):
        return False
    # in a cgroup namespace the log's path begins above ours (pr_cont_cgroup_path)
    if said.memcg is not None and not (target and said.memcg.endswith(target)):
        return False
    if observation.call.via == Via.SYSRQ:
        return said.order in (None, SYSRQ_ORDER)
    if said.invoker_pid is not None:
        return said.invoker_pid == observation.trigger
    return after.owns(said, target)


def _unseen(
    kills: Mapping[int, OomKill],
    observation: CallObservation,
    after: PostRun,
    known: Iterable[Task],
    earlier: Collection[int],
) -> dict[int, OomKill]:
    """Complete what incomplete sources tell by how the tasks themselves ended.

    A victim that is only marked got its signal if SIGKILL ended it. The log has no line for a
    process that dies because it shares a victim's memory (mm/oom_kill.c, __oom_kill_process).
    """
    began = observation.result.began_ns
    died = {pid for pid in after.sigkilled if after.ended.get(pid, 0) >= began} - {*earlier}
    unsignalled = died if SIGNALS.intersection(observation.silent) else ()
    found = {
        pid: replace(one, role=Role.VICTIM)
        if one.role == Role.EXITING and pid in unsignalled
        else one
        for pid, one in kills.items()
    }
    if not any(one.logged for one in found.values()) and MARKS.intersection(observation.silent):
        found = {pid: replace(one, role=Role.VICTIM) for pid, one in found.items()}
    tasks = {task.pid: task for task in known}
    memories = {task.shares or task.pid for task in tasks.values() if task.pid in found}
    for task in tasks.values():
        if task.pid in died - found.keys() and (task.shares or task.pid) in memories:
            found[task.pid] = _sighting(task, Role.SHARER, began)
    return found


def _killed_with_cgroup(observation: CallObservation, after: PostRun) -> dict[int, OomKill]:
    """Return the target's members that SIGKILL ended after the write; nobody logs those."""
    began = observation.result.began_ns
    return {
        pid: _sighting(task, Role.VICTIM, began)
        for pid, task in observation.members.items()
        if pid in after.sigkilled and after.ended.get(pid, 0) >= began
    }


def _sighting(task: Task, role: Role, at_ns: int) -> OomKill:
    return OomKill(
        at_ns,
        task.pid,
        task.comm,
        role,
        task.rss,
        cgroup=task.cgroup,
        oom_score_adj=task.oom_score_adj,
    )


def _named(seen: OomKill, path_of: Callable[[int], str | None]) -> OomKill:
    """Give a traced kill the paths of its cgroups, as far as they are still there."""
    cgroup, memcg = (
        None if number is None else path_of(number) for number in (seen.cgroup_id, seen.memcg_id)
    )
    return replace(seen, cgroup=cgroup, memcg=memcg)
