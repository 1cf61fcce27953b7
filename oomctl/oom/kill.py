"""One kill by the OOM killer, from events, the kernel log, or both. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from oomctl.oom.enums import Role
from oomctl.oom.event import Event, EventKind
from oomctl.oom.memcg import MemcgUsage

HITS = frozenset({EventKind.SIGKILL, EventKind.MARK_VICTIM})
"""The kinds of event that name a task that the OOM killer took."""


@dataclass(frozen=True)
class OomKill:
    """One process that the OOM killer took; times are CLOCK_MONOTONIC in ns, sizes bytes.

    `memcg_id` and `memcg`, a path, name the cgroup that is out of memory (its limit was hit, or OOM
    was declared on it) and `usage` what it held; all are None for a system-wide OOM. `group` is the
    cgroup whose memory.oom.group took it, and `cgroup` the same if the sources do not name the
    member's own. `allocating` says that it was chosen for vm.oom_kill_allocating_task. `traced` and
    `logged` say which sources reported it. Unknown values are None; so is `exited_after_ns` if the
    process did not end while oomctl waited.
    """

    at_ns: int
    pid: int
    comm: str
    role: Role
    rss: int
    cgroup_id: int | None = None
    cgroup: str | None = None
    invoker_pid: int | None = None
    invoker_comm: str | None = None
    invoker_cgroup_id: int | None = None
    invoker_cgroup: str | None = None
    order: int | None = None
    constraint: str | None = None
    memcg_id: int | None = None
    exited_after_ns: int | None = None
    memcg: str | None = None
    usage: MemcgUsage | None = None
    group: str | None = None
    oom_score_adj: int = 0
    allocating: bool = False
    traced: bool = False
    logged: bool = False


def traced(events: Iterable[Event]) -> list[OomKill]:
    """Return the kills in these events, also those of victims that have not ended."""
    tracing = KillsFromEvents()
    return [*tracing.feed(events), *tracing.overdue()]


def threads_of(events: Iterable[Event]) -> dict[int, int]:
    """Return the process of each thread that the OOM killer chose or sent SIGKILL, by TID.

    "Killed process" names the thread that has the memory: not the leader if that has ended
    (mm/oom_kill.c, find_lock_task_mm).
    """
    return {event.pid: event.tgid for event in events if event.tgid}


def by_process(logged: Iterable[OomKill], threads: Mapping[int, int]) -> list[OomKill]:
    """Replace the TIDs in kills of the log by PIDs, and keep one kill for each process.

    A group's first victim is killed again with its group (mm/oom_kill.c, oom_kill_process); if its
    leader has ended by then, the log has the TID of another thread.
    """
    found: dict[int, list[OomKill]] = {}
    for said in logged:
        pid = threads.get(said.pid, said.pid)
        kills = found.setdefault(pid, [])
        if pid == said.pid or not kills:
            kills.append(said if pid == said.pid else replace(said, pid=pid))
    return [kill for kills in found.values() for kill in kills]


def reconcile(traced: Iterable[OomKill], logged: Iterable[OomKill]) -> list[OomKill]:
    """Merge the kills of two sources; a kill that only one of them has is kept.

    They are matched by PID, and by order if a PID occurs twice: the clocks differ. The log names
    only victims that were sent SIGKILL (mm/oom_kill.c, __oom_kill_process), so if it names a task,
    a missing mark or signal is an event that the observer missed.
    """
    unmatched: dict[int, deque[OomKill]] = {}
    for said in logged:
        unmatched.setdefault(said.pid, deque()).append(said)
    merged = []
    for seen in traced:
        if same := unmatched.get(seen.pid):
            merged.append(_merged(seen, same.popleft()))
        else:
            merged.append(seen)
    return merged + [said for rest in unmatched.values() for said in rest]


def _merged(seen: OomKill, said: OomKill) -> OomKill:
    return replace(
        seen,
        role=Role.VICTIM,
        oom_score_adj=said.oom_score_adj,
        rss=said.rss,  # the kernel's own sum; tracing reads the counters without what CPUs hold
        cgroup=seen.cgroup or said.cgroup,
        invoker_pid=seen.invoker_pid or said.invoker_pid,
        invoker_comm=seen.invoker_comm or said.invoker_comm,
        order=said.order if seen.order is None else seen.order,
        constraint=seen.constraint or said.constraint,
        memcg=seen.memcg or said.memcg,
        usage=_merged_usage(seen.usage, said.usage),
        group=said.group,
        allocating=said.allocating,
        logged=True,
    )


def _merged_usage(seen: MemcgUsage | None, said: MemcgUsage | None) -> MemcgUsage | None:
    """Keep the counters at the begin of out_of_memory(); only the log has the kinds."""
    return replace(seen, kinds=said.kinds) if seen and said else seen or said


class KillsFromEvents:
    """Combines the observer's events into kills, each as soon as its victim has ended."""

    def __init__(self) -> None:
        self._running: dict[int, Event] = {}
        self._open: dict[int, OomKill] = {}

    def feed(self, events: Iterable[Event]) -> list[OomKill]:
        """Take events in order of time; return the kills that they complete."""
        done: list[OomKill] = []
        for event in events:
            match event.kind:
                case EventKind.OOM_BEGIN:
                    self._running[event.pid] = event
                case EventKind.SIGKILL | EventKind.MARK_VICTIM:
                    self._open[event.tgid] = self._hit(event)
                case EventKind.OOM_END:
                    self._running.pop(event.pid, None)
                    done += self._judge(event)
                case EventKind.EXIT:
                    done += self._ended(event)
        return done

    def overdue(self, before_ns: int | None = None) -> list[OomKill]:
        """Return the incomplete kills of victims that have not ended, up to that time if given."""
        late = [seen for seen in self._open.values() if before_ns is None or seen.at_ns < before_ns]
        return [self._open.pop(seen.pid) for seen in late]

    def _hit(self, event: Event) -> OomKill:
        seen = self._open.get(event.tgid)
        if event.kind is EventKind.MARK_VICTIM:
            # The signal comes first, the mark after it. If the OOM killer has ended in between, a
            # later one met a sharer on its way out (mm/oom_kill.c, task_will_free_mem).
            if seen and seen.role == Role.SHARER and seen.constraint is None:
                return replace(seen, role=Role.VICTIM, at_ns=event.at_ns)
            return seen or self._new(event, Role.EXITING)
        if seen is None:
            return self._new(event, Role.SHARER)
        return replace(seen, role=Role.VICTIM) if seen.role == Role.EXITING else seen

    def _new(self, event: Event, role: Role) -> OomKill:
        begun = self._running.get(event.invoker_pid)
        return OomKill(
            at_ns=event.at_ns,
            pid=event.tgid,
            comm=event.comm,
            role=role,
            rss=event.rss,
            cgroup_id=event.cgroup_id,
            cgroup=event.cgroup,
            invoker_pid=event.invoker_pid,
            invoker_comm=event.invoker_comm,
            invoker_cgroup_id=begun.cgroup_id if begun else None,
            invoker_cgroup=begun.cgroup if begun else None,
            order=begun.order if begun else None,
            memcg_id=begun.memcg_id if begun else None,
            memcg=begun.memcg if begun else None,
            usage=begun.usage if begun else None,
            oom_score_adj=event.oom_score_adj,
            traced=True,
        )

    def _judge(self, end: Event) -> list[OomKill]:
        """Add the constraint, known at the end of out_of_memory(); return ended victims' kills."""
        done = []
        for pid, seen in list(self._open.items()):
            if seen.invoker_pid == end.pid and seen.constraint is None:
                seen = replace(
                    seen,
                    order=end.order,
                    memcg_id=end.memcg_id,
                    memcg=end.memcg,
                    constraint=end.constraint,
                )
                self._open[pid] = seen
                if seen.exited_after_ns is not None:
                    done.append(self._open.pop(pid))
        return done

    def _ended(self, event: Event) -> list[OomKill]:
        seen = self._open.get(event.tgid)
        if seen is None:
            return []
        seen = replace(seen, exited_after_ns=event.at_ns - seen.at_ns)
        if seen.invoker_pid in self._running:
            self._open[event.tgid] = seen
            return []
        del self._open[event.tgid]
        return [seen]
