"""The kills of one call: which events and log records belong to it. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from oomctl.oom.call import CallResult
from oomctl.oom.enums import Constraint, Role, Via
from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import HITS, OomKill, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import Call
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task, processes
from oomctl.oom.timeline import Stamp

SIGNALS = frozenset({"sigkill", "oom_begin"})
"""The observer needs both programs to report a SIGKILL (bpf/observer.bpf.c, sigkill)."""
MARKS = frozenset({"mark_victim", "mark_victim_pid"})
"""One of these programs reports marks (72ba14deb40a changed the tracepoint's arguments)."""

SYSRQ_ORDER = -1
"""The order that marks an OOM of sysrq (mm/oom_kill.c, is_sysrq_oom)."""

OF_THE_CALL = {EventKind.OOM_BEGIN, EventKind.OOM_END, EventKind.SIGKILL, EventKind.MARK_VICTIM}


@dataclass(frozen=True)
class CallObservation:
    """One call: the state before it, its result, and the evidence of its time.

    `events`, `log` and `logged` (the kills in that log) are from just before the call until it
    returned, and include those of other callers of the same turn. `silent` names programs of the
    observer that should have run and did not. `group_kills` is the rise of oom_group_kill,
    `counted` the rise of the target's oom_kill; None if it could not be read. `taken` are the PIDs
    that the OOM killer took before, for any caller. `members` are the target's processes by PID, if
    the trigger kills all of them. `later` are moments that user space saw. `disturbed` says that an
    action of the plan changed the choice during the call, so that none is predicted.
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
    disturbed: bool = False

    @property
    def own(self) -> list[Event]:
        """The events of the caller's own run of out_of_memory()."""
        return [e for e in self.events if e.kind in OF_THE_CALL and e.invoker_pid == self.trigger]

    @property
    def taken_by_others(self) -> set[int]:
        """The PIDs that other runs of out_of_memory() took during the call."""
        return {e.tgid for e in self.events if e.kind in HITS and e.invoker_pid != self.trigger}

    @property
    def trigger(self) -> int:
        """The PID that ran the OOM killer: the caller; for sysrq a worker of the kernel."""
        if self.call.via != Via.SYSRQ:
            return self.result.caller
        seen = [e.pid for e in self.events if e.order == SYSRQ_ORDER]
        said = [one.invoker_pid for one in self.logged if one.order == SYSRQ_ORDER]
        return next((pid for pid in (*seen, *said) if pid), 0)

    @property
    def locked_ns(self) -> int:
        """When the caller took oom_lock; without that event, when it returned."""
        begun = [e.at_ns for e in self.own if e.kind is EventKind.OOM_BEGIN]
        return min(begun, default=self.result.ended_ns or self.result.began_ns)


@dataclass(frozen=True)
class PostRun:
    """What is known of all calls once their victims have ended.

    `events` are the events of the whole round. `ended` has the CLOCK_MONOTONIC ns of every known
    death by PID, `sigkilled` the PIDs that SIGKILL ended or may have ended. `tasks` are all tasks
    that were read. `owns` tells whether a kill that only the log reports belongs to a target,
    `path_of` returns the path of a cgroup by its id. `no_tracing_reason` is empty if the observer
    ran.
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
    """Return the kills of this call by PID, with what each source reports of them.

    An event names the task that ran the OOM killer. A kill that only the log reports counts if its
    report names this caller. If it names none, the kill counts if its task is in the target, not
    among `earlier`, and no other run of the OOM killer was seen taking it.
    """
    if observation.call.via == Via.KILL:
        return _killed_with_cgroup(observation, after)
    known = (*after.tasks, *(observation.candidates.tasks if observation.candidates else ()))
    threads = threads_of(observation.events) | processes(known)
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
    """Tell whether a kill in the log belongs to a call, by its report or else by its cgroup."""
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
    """Complete incomplete sources by how the tasks ended.

    A victim that is only marked was sent SIGKILL if SIGKILL ended it. The log has no line for a
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
            found[task.pid] = _kill_of(task, Role.SHARER, began)
    return found


def _killed_with_cgroup(observation: CallObservation, after: PostRun) -> dict[int, OomKill]:
    """Return the target's members that SIGKILL ended after the write; the kernel logs none."""
    began = observation.result.began_ns
    return {
        pid: _kill_of(task, Role.VICTIM, began)
        for pid, task in observation.members.items()
        if pid in after.sigkilled and after.ended.get(pid, 0) >= began
    }


def _kill_of(task: Task, role: Role, at_ns: int) -> OomKill:
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
    """Add the paths of a traced kill's cgroups that the observer does not know, if they exist."""
    cgroup, memcg = (
        path if path or number is None else path_of(number)
        for path, number in ((seen.cgroup, seen.cgroup_id), (seen.memcg, seen.memcg_id))
    )
    if (cgroup, memcg) == (seen.cgroup, seen.memcg):
        return seen
    return replace(seen, cgroup=cgroup, memcg=memcg)
