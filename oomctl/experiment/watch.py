"""Waits for OOM kills on this machine: by tracing, else in the kernel log."""

import select
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeVar

from oomctl.bpf.probes import silent_programs
from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.counters import reconciled, settled, watched
from oomctl.experiment.sources import Batch, OomSources
from oomctl.experiment.target import CgroupPaths
from oomctl.oom.counts import KillCounts, KillTally
from oomctl.oom.enums import EvidenceSource, Role
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, KillsFromEvents, OomKill, reconcile, threads_of
from oomctl.signals import signals_unblocked
from oomctl.text import printable

PATIENCE_NS = 2_000_000_000
"""How long to wait for a victim's exit before it is reported without one."""
_REMEMBERED = 4096  # the last processes and threads that were traced

_T = TypeVar("_T")


class OomWatch:
    """The OOM kills of the whole machine, one by one: from tracing, or else from the kernel log.

    `lost` counts events or log records that were overwritten before they were read. The
    memory.events of the cgroup `top`, or of all, are held against the other counts of kills. With
    `since_boot`, `earlier` has the kills that the kernel log still held at the begin, and
    `overwritten` counts the records that it no longer did.
    """

    def __init__(self, root: UnifiedNode, top: str | None = None, since_boot: bool = False) -> None:
        self._sources = OomSources(root.id, since_boot)
        self.earlier: tuple[OomKill, ...] = ()
        self.overwritten = 0
        self._tracing = KillsFromEvents()
        self._logged: dict[int, OomKill] = {}
        self._taken: deque[int] = deque(maxlen=_REMEMBERED)
        self._threads: dict[int, int] = {}
        self._paths = CgroupPaths(root)
        self._watched = watched(root, top)
        self._tally = KillTally()
        self._all_lost = (0, 0)
        self._fired: Mapping[str, int] = {}
        self.lost = 0

    def __enter__(self) -> Self:
        """Open the sources; UnsupportedError if not even the kernel log can be read."""
        self._sources.__enter__()
        self._paths.refresh()
        self._fired = self._sources.fired()
        self._before, batch = settled(self._watched, self._sources.drain)
        self.earlier, self.overwritten = tuple(map(_printable, batch.logged)), batch.log.lost
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the sources."""
        self._sources.__exit__()

    @property
    def no_tracing_reason(self) -> str:
        """Why nothing is traced; empty if it is."""
        return self._sources.no_tracing_reason

    @property
    def source(self) -> EvidenceSource:
        """The source of the kills."""
        return EvidenceSource.KERNEL_LOG if self.no_tracing_reason else EvidenceSource.RING_BUFFER

    def wait(self, seconds: float, urgent: Iterable[int] = ()) -> list[tuple[int, int]]:
        """Sleep until there may be new evidence; ending signals are delivered only here.

        It also ends when one of the `urgent` descriptors has POLLPRI; returns descriptors with
        their events, as poll() does.
        """
        with signals_unblocked():
            poll = select.poll()
            for fd in self._sources.descriptors():
                poll.register(fd, select.POLLIN)
            for fd in urgent:
                poll.register(fd, select.POLLPRI)
            return poll.poll(max(seconds, 0) * 1000)

    def poll(self) -> list[OomKill]:
        """Return the kills that became complete since the last poll, in order of time."""
        return self._completed(self._sources.drain(), time.monotonic_ns() - PATIENCE_NS)

    def counts(self) -> KillCounts:
        """Return the kills since `__enter__` as each source counts them, also those under way."""
        return reconciled(self._count)

    def _count(self) -> KillCounts:
        after, batch = settled(self._watched, self._sources.drain)
        self._completed(batch, None)
        rises = after.since(self._before)
        silent = bool(silent_programs(self._fired, self._sources.fired(), kills=rises.vmstat or 0))
        tracing = not self.no_tracing_reason
        return self._tally.reconcile(rises, self._all_lost, tracing=tracing, silent=silent)

    def _completed(self, batch: Batch, overdue_ns: int | None) -> list[OomKill]:
        done, logged = self._take(batch)
        if any(kill.role == Role.VICTIM and kill.pid not in self._logged for kill in done):
            # the log was read first, and out_of_memory() has returned since
            later, more = self._take(self._sources.drain())
            done, logged = done + later, logged + more
        done += self._tracing.overdue(overdue_ns)
        traced = [self._complete(kill) for kill in done]
        # a kill in the log was traced already (see OomSources.drain()) or was not traced at all
        untraced = [kill for kill in logged if kill.pid not in self._taken]
        kills = sorted([*traced, *untraced], key=lambda kill: kill.at_ns)
        self._tally.add_kills(kills)
        return [_printable(kill) for kill in kills]

    def _take(self, batch: Batch) -> tuple[list[OomKill], list[OomKill]]:
        """Return the kills that events complete, and those of the log."""
        self.lost += batch.log.lost if self.no_tracing_reason else batch.events_lost
        self._all_lost = (
            self._all_lost[0] + batch.events_lost,
            self._all_lost[1] + batch.log.lost,
        )
        self._learn(batch.events)
        hits = [each for each in batch.events if each.kind in HITS]
        self._taken.extend(pid for each in hits for pid in (each.tgid, each.pid))
        _keep(self._threads, threads_of(hits))
        _keep(self._logged, {kill.pid: kill for kill in batch.logged})
        self._tally.add_records(batch.log.records, self._threads)
        return self._tracing.feed(batch.events), list(batch.logged)

    def _complete(self, kill: OomKill) -> OomKill:
        """Add to a traced kill what the log has of it, and paths that the observer lacks."""
        said = self._logged.pop(kill.pid, None)
        (kill,) = reconcile([kill], [said] if said and kill.role == Role.VICTIM else [])
        return replace(
            kill,
            cgroup=kill.cgroup or self._path(kill.cgroup_id),
            memcg=kill.memcg or self._path(kill.memcg_id),
            invoker_cgroup=kill.invoker_cgroup or self._path(kill.invoker_cgroup_id),
        )

    def _path(self, cgroup_id: int | None) -> str | None:
        """Return the path of a cgroup; None if it was removed before its path was read."""
        return None if cgroup_id is None else self._paths.known.get(cgroup_id)

    def _learn(self, events: Sequence[Event]) -> None:
        """Read at once the paths that the observer lacks: a cgroup often goes with its victim."""
        places = {(event.cgroup_id, event.cgroup) for event in events}
        places |= {(event.memcg_id, event.memcg) for event in events if event.memcg_id}
        if {number for number, path in places if number and not path} - self._paths.known.keys():
            self._paths.refresh()


def _keep(known: dict[int, _T], new: Mapping[int, _T]) -> None:
    """Add what is new, and forget the oldest."""
    known |= new
    while len(known) > _REMEMBERED:
        del known[next(iter(known))]


def _printable(kill: OomKill) -> OomKill:
    """Make the paths of a kill printable; the comms are."""
    return replace(
        kill,
        cgroup=kill.cgroup and printable(kill.cgroup),
        memcg=kill.memcg and printable(kill.memcg),
        invoker_cgroup=kill.invoker_cgroup and printable(kill.invoker_cgroup),
        group=kill.group and printable(kill.group),
    )
