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
from oomctl.oom.kill import HITS, Reading, Sighting, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog
from oomctl.proc.kmsg import Kmsg


@dataclass(frozen=True)
class Heard:
    """What came since the last time: events in order, and log records.

    `logged` are the kills that these records tell of. `fired` says how often each of the observer's
    programs had run by then.
    """

    events: tuple[Event, ...]
    log: KernelLog
    events_lost: int
    fired: Mapping[str, int] = field(default_factory=dict)
    logged: tuple[Sighting, ...] = ()

    @property
    def lost(self) -> int:
        """Events and log records that were overwritten before they were read."""
        return self.events_lost + self.log.lost

    def __add__(self, later: "Heard") -> "Heard":
        """Return both as one; `later` is what came after this."""
        return Heard(
            self.events + later.events,
            self.log + later.log,
            self.events_lost + later.events_lost,
            later.fired,
            self.logged + later.logged,
        )


NOTHING = Heard((), KernelLog(), 0)


class History:
    """Everything that a witness has told since the history was begun, for a round to look back on.

    What came before is read and dropped. `events` are in order, `lost` counts what was overwritten
    before it was read, `taken` are the PIDs that the OOM killer has taken so far.
    """

    def __init__(self, witness: "Witness") -> None:
        self._witness = witness
        self._logged: list[Sighting] = []
        self._heard: dict[int, int] = {}
        self.events: list[Event] = []
        self.taken: set[int] = set()
        self.lost = 0
        witness.hear()

    def listen(self) -> Heard:
        """Take in what came since the last time, and return it."""
        heard = self._witness.hear()
        now = time.monotonic_ns()
        self._logged += heard.logged
        for said in heard.logged:
            self._heard.setdefault(said.pid, now)
        self.events += heard.events
        self.lost += heard.lost
        self.taken.update(said.pid for said in heard.logged)
        self.taken.update(e.tgid for e in heard.events if e.kind in HITS)
        return heard

    def kills(self) -> list[Sighting]:
        """Return every kill so far as both sources together tell it.

        What only the log tells of is of when it was heard: the log has a clock of its own.
        """
        logged = (replace(one, at_ns=self._heard[one.pid]) for one in self._logged)
        return reconcile(traced(self.events), by_process(logged, threads_of(self.events)))

    @property
    def why_not(self) -> str:
        """Why nothing is traced; empty where it is."""
        return self._witness.why_not

    @property
    def silent(self) -> tuple[str, ...]:
        """The programs that were attached but did not run when they were tried."""
        return self._witness.silent


class Witness:
    """Observer and kernel log under one roof; `why_not` says why there is no tracing, if so."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._reading = Reading()
        self._lost = 0
        self.why_not = ""

    def __enter__(self) -> Self:
        """Begin to listen; UnsupportedError where not even the kernel log can be read."""
        with ExitStack() as stack:
            self._log = stack.enter_context(Kmsg())
            try:
                self._observer = stack.enter_context(Observer())
            except UnsupportedError as error:
                self.why_not = error.why
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

    def hear(self) -> Heard:
        """Return what came since the last time."""
        # the log first: what it tells of, the programs have seen (__oom_kill_process prints last)
        log = self._log.read()
        logged = tuple(self._reading.feed(log.records))
        if self._observer is None:
            return Heard((), log, 0, logged=logged)
        fired, events = self._observer.fired(), tuple(self._observer.read())
        lost, self._lost = self._observer.lost - self._lost, self._observer.lost
        return Heard(events, log, lost, fired, logged)
