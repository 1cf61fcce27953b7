"""The sources of evidence: BPF tracing if it is available, and always the kernel log."""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from oomctl import console
from oomctl.bpf.observer import ROOT_ID, Observer
from oomctl.errors import UnsupportedError
from oomctl.oom.attribution import SYSRQ_ORDER
from oomctl.oom.enums import Role
from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import HITS, OomKill, threads_of, traced
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.proc.kmsg import Kmsg


@dataclass(frozen=True)
class Batch:
    """The events and log records since the last time, each in order.

    `logged` are the kills in these records.
    """

    events: tuple[Event, ...]
    log: KernelLog
    events_lost: int
    logged: tuple[OomKill, ...] = ()

    @property
    def has_kills(self) -> bool:
        """Whether any of it is of a kill."""
        return bool(self.logged) or any(event.kind in HITS for event in self.events)

    @property
    def is_unlogged(self) -> bool:
        """Whether a victim was traced that has no line in the log, although no line was lost.

        If the begin of a run was not traced, its SIGKILL was not, either, so a task that is only
        marked may be a victim.
        """
        threads = threads_of(self.events)
        logged = {threads.get(kill.pid, kill.pid) for kill in self.logged}
        begun = {event.pid for event in self.events if event.kind is EventKind.OOM_BEGIN}
        victims = (
            kill.pid
            for kill in traced(self.events)
            if kill.role == Role.VICTIM
            or (
                kill.role == Role.EXITING and kill.invoker_pid not in begun and not self.events_lost
            )
        )
        return not self.log.lost and any(pid not in logged for pid in victims)

    def killed_for(self, invokers: Collection[int], *, sysrq: bool) -> set[int]:
        """Return the processes whose kill is logged, if one of `invokers` or sysrq was the cause.

        Of more than ten reports in five seconds the log has only "Killed process", which names no
        invoker (mm/oom_kill.c, oom_kill_process()), but the mark of the victim does.
        """
        threads = threads_of(self.events)
        marked_by = {event.tgid: event.invoker_pid for event in self.events if event.kind in HITS}
        killed = set()
        for kill in self.logged:
            pid = threads.get(kill.pid, kill.pid)
            by_sysrq = sysrq and kill.order in (None, SYSRQ_ORDER)
            if by_sysrq or (kill.invoker_pid or marked_by.get(pid)) in invokers:
                killed.add(pid)
        return killed

    @property
    def lost(self) -> int:
        """The number of events and log records that were overwritten before they were read."""
        return self.events_lost + self.log.lost

    def __add__(self, later: "Batch") -> "Batch":
        return Batch(
            self.events + later.events,
            self.log + later.log,
            self.events_lost + later.events_lost,
            self.logged + later.logged,
        )


NOTHING = Batch((), KernelLog(), 0)


class OomSources:
    """The observer and the kernel log; `no_tracing_reason` is empty if the observer runs.

    Paths in its events begin at the cgroup `root_id`, the root of the mount. With `since_boot` the
    first batch has all that the kernel log still holds.
    """

    def __init__(self, root_id: int = ROOT_ID, since_boot: bool = False) -> None:
        self._root_id = root_id
        self._since_boot = since_boot
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._from_log = KillsFromLog()
        self._lost = 0
        self.no_tracing_reason = ""

    def __enter__(self) -> Self:
        """Open the sources; UnsupportedError if not even the kernel log can be read."""
        with ExitStack() as stack:
            self._log = stack.enter_context(Kmsg(since_boot=self._since_boot))
            try:
                self._observer = stack.enter_context(Observer(self._root_id))
            except UnsupportedError as error:
                self.no_tracing_reason = error.why
                console.detail(f"no BPF tracing, only the kernel log: {error}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the sources."""
        self._stack.close()

    def descriptors(self) -> list[int]:
        """Return a descriptor of each source that polls readable when there is new evidence."""
        tracing = [self._observer.fileno()] if self._observer else []
        return [*tracing, self._log.fileno()]

    @property
    def silent(self) -> tuple[str, ...]:
        """The observer's programs that are attached but did not run when they were tried."""
        return self._observer.silent if self._observer else ()

    def fired(self) -> Mapping[str, int]:
        """Return how often each of the observer's programs has run so far."""
        return self._observer.fired() if self._observer else {}

    def drain(self) -> Batch:
        """Return the evidence since the last time."""
        # The log first: __oom_kill_process() (mm/oom_kill.c) prints after the traced functions, so
        # the observer has an event for every kill in the log.
        log = self._log.read()
        logged = tuple(self._from_log.feed(log.records))
        if self._observer is None:
            return Batch((), log, 0, logged=logged)
        events, lost = tuple(self._observer.read()), self._observer.lost
        before, self._lost = self._lost, lost
        return Batch(events, log, lost - before, logged)
