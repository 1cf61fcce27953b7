"""The sources of evidence: BPF tracing if it is available, and always the kernel log."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from oomctl import console
from oomctl.bpf.observer import ROOT_ID, Observer
from oomctl.errors import UnsupportedError
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, OomKill, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.proc.kmsg import Kmsg


@dataclass(frozen=True)
class Batch:
    """The events and log records since the last time, each in order.

    `logged` are the kills in these records. `fired` says how often each of the observer's programs
    has run so far.
    """

    events: tuple[Event, ...]
    log: KernelLog
    events_lost: int
    fired: Mapping[str, int] = field(default_factory=dict)
    logged: tuple[OomKill, ...] = ()

    @property
    def lost(self) -> int:
        """The number of events and log records that were overwritten before they were read."""
        return self.events_lost + self.log.lost

    def __add__(self, later: "Batch") -> "Batch":
        return Batch(
            self.events + later.events,
            self.log + later.log,
            self.events_lost + later.events_lost,
            later.fired,
            self.logged + later.logged,
        )


NOTHING = Batch((), KernelLog(), 0)


class History:
    """All evidence of a round; what the sources had before it is dropped.

    `events` are in order, `lost` counts what was overwritten before it was read, `taken` are the
    PIDs that the OOM killer has taken so far.
    """

    def __init__(self, sources: "OomSources") -> None:
        self._sources = sources
        self._logged: list[OomKill] = []
        self._read_ns: dict[int, int] = {}
        self.events: list[Event] = []
        self.taken: set[int] = set()
        self.lost = 0
        sources.drain()

    def update(self) -> Batch:
        """Add the evidence since the last update, and return it."""
        batch = self._sources.drain()
        now = time.monotonic_ns()
        self._logged += batch.logged
        for kill in batch.logged:
            self._read_ns.setdefault(kill.pid, now)
        self.events += batch.events
        self.lost += batch.lost
        self.taken.update(kill.pid for kill in batch.logged)
        self.taken.update(e.tgid for e in batch.events if e.kind in HITS)
        return batch

    def took(self, pid: int) -> bool:
        """Update, and return whether the OOM killer has taken a PID in this round."""
        self.update()
        return pid in self.taken

    def kills(self) -> list[OomKill]:
        """Return every kill so far, combined from both sources.

        The time of a kill that only the log has is when the log was read: it has another clock.
        """
        logged = (replace(kill, at_ns=self._read_ns[kill.pid]) for kill in self._logged)
        return reconcile(traced(self.events), by_process(logged, threads_of(self.events)))

    @property
    def no_tracing_reason(self) -> str:
        """Why nothing is traced; empty if it is."""
        return self._sources.no_tracing_reason

    @property
    def silent(self) -> tuple[str, ...]:
        """The observer's programs that were attached but did not run when they were tried."""
        return self._sources.silent


class OomSources:
    """The observer and the kernel log; `no_tracing_reason` is empty if the observer runs.

    Paths in its events begin at the cgroup `root_id`, the root of the mount.
    """

    def __init__(self, root_id: int = ROOT_ID) -> None:
        self._root_id = root_id
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._from_log = KillsFromLog()
        self._lost = 0
        self.no_tracing_reason = ""

    def __enter__(self) -> Self:
        """Open the sources; UnsupportedError if not even the kernel log can be read."""
        with ExitStack() as stack:
            self._log = stack.enter_context(Kmsg())
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

    def drain(self) -> Batch:
        """Return the evidence since the last time."""
        # The log first: __oom_kill_process() (mm/oom_kill.c) prints after the traced functions, so
        # the observer has an event for every kill in the log.
        log = self._log.read()
        logged = tuple(self._from_log.feed(log.records))
        if self._observer is None:
            return Batch((), log, 0, logged=logged)
        fired, events = self._observer.fired(), tuple(self._observer.read())
        lost, self._lost = self._observer.lost - self._lost, self._observer.lost
        return Batch(events, log, lost, fired, logged)
