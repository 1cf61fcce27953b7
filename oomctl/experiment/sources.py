"""Everybody who saw it: BPF tracing where it is to be had, and the kernel log in any case."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from oomctl import console
from oomctl.bpf.observer import Observer
from oomctl.errors import UnsupportedError
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, OomKill, Reading, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog
from oomctl.proc.kmsg import Kmsg


@dataclass(frozen=True)
class Batch:
    """What came since the last time: events in order, and log records.

    `logged` are the kills that these records tell of. `fired` says how often each of the observer's
    programs had run by then.
    """

    events: tuple[Event, ...]
    log: KernelLog
    events_lost: int
    fired: Mapping[str, int] = field(default_factory=dict)
    logged: tuple[OomKill, ...] = ()

    @property
    def lost(self) -> int:
        """Events and log records that were overwritten before they were read."""
        return self.events_lost + self.log.lost

    def __add__(self, later: "Batch") -> "Batch":
        """Return both as one; `later` is what came after this."""
        return Batch(
            self.events + later.events,
            self.log + later.log,
            self.events_lost + later.events_lost,
            later.fired,
            self.logged + later.logged,
        )


NOTHING = Batch((), KernelLog(), 0)


class History:
    """Everything that the sources have given since the history was begun, for a round to use.

    What came before is read and dropped. `events` are in order, `lost` counts what was overwritten
    before it was read, `taken` are the PIDs that the OOM killer has taken so far.
    """

    def __init__(self, sources: "OomSources") -> None:
        self._sources = sources
        self._logged: list[OomKill] = []
        self._heard: dict[int, int] = {}
        self.events: list[Event] = []
        self.taken: set[int] = set()
        self.lost = 0
        sources.drain()

    def listen(self) -> Batch:
        """Take in what came since the last time, and return it."""
        batch = self._sources.drain()
        now = time.monotonic_ns()
        self._logged += batch.logged
        for said in batch.logged:
            self._heard.setdefault(said.pid, now)
        self.events += batch.events
        self.lost += batch.lost
        self.taken.update(said.pid for said in batch.logged)
        self.taken.update(e.tgid for e in batch.events if e.kind in HITS)
        return batch

    def kills(self) -> list[OomKill]:
        """Return every kill so far as both sources together tell it.

        What only the log tells of is of when it was heard: the log has a clock of its own.
        """
        logged = (replace(one, at_ns=self._heard[one.pid]) for one in self._logged)
        return reconcile(traced(self.events), by_process(logged, threads_of(self.events)))

    @property
    def no_tracing_reason(self) -> str:
        """Why nothing is traced; empty where it is."""
        return self._sources.no_tracing_reason

    @property
    def silent(self) -> tuple[str, ...]:
        """The programs that were attached but did not run when they were tried."""
        return self._sources.silent


class OomSources:
    """The observer and the kernel log; `no_tracing_reason` is empty if the observer runs."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._reading = Reading()
        self._lost = 0
        self.no_tracing_reason = ""

    def __enter__(self) -> Self:
        """Begin to listen; UnsupportedError where not even the kernel log can be read."""
        with ExitStack() as stack:
            self._log = stack.enter_context(Kmsg())
            try:
                self._observer = stack.enter_context(Observer())
            except UnsupportedError as error:
                self.no_tracing_reason = error.why
                console.detail(f"no BPF tracing, the kernel log alone: {error}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Listen no more."""
        self._stack.close()

    def descriptors(self) -> list[int]:
        """Return what polls readable when something has come, of each source."""
        tracing = [self._observer.fileno()] if self._observer else []
        return [*tracing, self._log.fileno()]

    @property
    def silent(self) -> tuple[str, ...]:
        """The observer's programs that are attached but did not run when they were tried."""
        return self._observer.silent if self._observer else ()

    def drain(self) -> Batch:
        """Return what came since the last time."""
        # the log first: what it tells of, the programs have seen (__oom_kill_process prints last)
        log = self._log.read()
        logged = tuple(self._reading.feed(log.records))
        if self._observer is None:
            return Batch((), log, 0, logged=logged)
        fired, events = self._observer.fired(), tuple(self._observer.read())
        lost, self._lost = self._observer.lost - self._lost, self._observer.lost
        return Batch(events, log, lost, fired, logged)
