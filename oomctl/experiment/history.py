"""All evidence of one round, from both sources."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from oomctl.experiment.counters import Watched, reconciled, settled
from oomctl.experiment.sources import Batch, OomSources
from oomctl.oom.counts import KillCounts, KillTally
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, OomKill, by_process, reconcile, threads_of, traced
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import Record


class Position(NamedTuple):
    """How much evidence there was at some moment."""

    events: int
    records: int
    logged: int
    events_lost: int
    log_lost: int


class History:
    """All evidence of a round; what the sources had before it is dropped.

    `events` are in order, `taken` are the PIDs that the OOM killer has taken so far. `watched`
    returns the cgroups whose memory.events are held against the other counts of kills.
    """

    def __init__(self, sources: OomSources, watched: Watched) -> None:
        self._sources = sources
        self._watched = watched
        self._records: list[Record] = []
        self._lost = (0, 0)
        self._logged: list[OomKill] = []
        self._read_ns: dict[int, int] = {}
        self.events: list[Event] = []
        self.taken: set[int] = set()
        self._before, _earlier = settled(watched, sources.drain)

    @property
    def lost(self) -> int:
        """How much was overwritten before it was read."""
        return sum(self._lost)

    def update(self) -> None:
        """Add the evidence since the last update."""
        self._add(self._sources.drain())

    def position(self) -> Position:
        """Return where the evidence so far ends."""
        return Position(len(self.events), len(self._records), len(self._logged), *self._lost)

    def since(self, position: Position) -> Batch:
        """Update, and return all evidence from a position on, whatever has updated in between."""
        self.update()
        log = KernelLog(tuple(self._records[position.records :]), self._lost[1] - position.log_lost)
        events = tuple(self.events[position.events :])
        lost = self._lost[0] - position.events_lost
        return Batch(events, log, lost, tuple(self._logged[position.logged :]))

    def _add(self, batch: Batch) -> None:
        now = time.monotonic_ns()
        self._logged += batch.logged
        for kill in batch.logged:
            self._read_ns.setdefault(kill.pid, now)
        self.events += batch.events
        self._lost = self._lost[0] + batch.events_lost, self._lost[1] + batch.log.lost
        self._records += batch.log.records
        self.taken.update(kill.pid for kill in batch.logged)
        self.taken.update(e.tgid for e in batch.events if e.kind in HITS)

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

    def counts(self, silent: bool) -> KillCounts:
        """Return the kills of the round as each source counts them.

        `silent` says that programs of the observer did not run.
        """
        return reconciled(lambda: self._count(silent))

    def _count(self, silent: bool) -> KillCounts:
        after, batch = settled(self._watched, self._sources.drain)
        self._add(batch)
        tally = KillTally()
        tally.add_records(self._records, threads_of(self.events))
        tally.add_kills(self.kills())
        rises = after.since(self._before)
        tracing = not self.no_tracing_reason
        return tally.reconcile(rises, self._lost, tracing=tracing, silent=silent)

    @property
    def no_tracing_reason(self) -> str:
        """Why nothing is traced; empty if it is."""
        return self._sources.no_tracing_reason

    def fired(self) -> Mapping[str, int]:
        """Return how often each of the observer's programs has run so far."""
        return self._sources.fired()

    @property
    def silent(self) -> tuple[str, ...]:
        """The observer's programs that were attached but did not run when they were tried."""
        return self._sources.silent
