"""Waits for OOM kills on this machine: by tracing, else in the kernel log."""

import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.sources import OomSources
from oomctl.experiment.target import CgroupPaths
from oomctl.oom.enums import EvidenceSource
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, KillsFromEvents, OomKill
from oomctl.signals import signals_unblocked
from oomctl.text import printable

PATIENCE_NS = 2_000_000_000
"""How long to wait for a victim's exit before it is reported without one."""
_REMEMBERED = 4096  # the last processes and threads that were traced


class OomWatch:
    """The OOM kills of the whole machine, one by one: from tracing, or else from the kernel log.

    `lost` counts events or log records that were overwritten before they were read.
    """

    def __init__(self, root: UnifiedNode) -> None:
        self._sources = OomSources()
        self._tracing = KillsFromEvents()
        self._taken: deque[int] = deque(maxlen=_REMEMBERED)
        self._paths = CgroupPaths(root)
        self.lost = 0

    def __enter__(self) -> Self:
        """Open the sources; UnsupportedError if not even the kernel log can be read."""
        self._sources.__enter__()
        self._paths.refresh()
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

    def wait(self, seconds: float) -> None:
        """Sleep until there may be new evidence; ending signals are delivered only here."""
        with signals_unblocked():
            poll = select.poll()
            for fd in self._sources.descriptors():
                poll.register(fd, select.POLLIN)
            poll.poll(max(seconds, 0) * 1000)

    def poll(self) -> list[OomKill]:
        """Return the kills that became complete since the last poll, in order of time."""
        batch = self._sources.drain()
        self.lost += batch.log.lost if self.no_tracing_reason else batch.events_lost
        self._learn(batch.events)
        hits = [each for each in batch.events if each.kind in HITS]
        self._taken.extend(pid for each in hits for pid in (each.tgid, each.pid))
        # a kill in the log was traced already (see OomSources.drain()) or was not traced at all
        untraced = [
            replace(
                kill,
                cgroup=_printable(kill.cgroup),
                memcg=_printable(kill.memcg),
                group=_printable(kill.group),
            )
            for kill in batch.logged
            if kill.pid not in self._taken
        ]
        traced = self._tracing.feed(batch.events)
        traced += self._tracing.overdue(time.monotonic_ns() - PATIENCE_NS)
        traced = [
            replace(kill, cgroup=self.path(kill.cgroup_id), memcg=self.path(kill.memcg_id))
            for kill in traced
        ]
        return sorted([*traced, *untraced], key=lambda kill: kill.at_ns)

    def path(self, cgroup_id: int | None) -> str | None:
        """Return the path of a cgroup; None if it was removed before its path was read."""
        return None if cgroup_id is None else _printable(self._paths.known.get(cgroup_id))

    def _learn(self, events: Sequence[Event]) -> None:
        """Read the paths at once: a cgroup is often removed as soon as its victim has ended."""
        ids = {number for event in events for number in (event.cgroup_id, event.memcg_id) if number}
        if ids - self._paths.known.keys():
            self._paths.refresh()


def _printable(path: str | None) -> str | None:
    return None if path is None else printable(path)
