"""Waits for OOM kills on this machine: by tracing, else in the kernel log."""

import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.sources import OomSources
from oomctl.oom.event import Event
from oomctl.oom.kill import HITS, KillsFromEvents, OomKill
from oomctl.signals import signals_unblocked
from oomctl.text import printable

PATIENCE_NS = 2_000_000_000
"""How long a victim may take to end before it is told of without its end."""
_REMEMBERED = 4096  # processes and threads that were traced last


class OomWatch:
    """The kills of the whole machine, one after another: from the events, else from the log.

    `lost` counts what was overwritten before it could be read.
    """

    def __init__(self, root: UnifiedNode) -> None:
        self._witness = OomSources()
        self._tracing = KillsFromEvents()
        self._taken: deque[int] = deque(maxlen=_REMEMBERED)
        self._paths = CgroupPaths(root)
        self.lost = 0

    def __enter__(self) -> Self:
        """Begin to look; UnsupportedError where not even the kernel log can be read."""
        self._witness.__enter__()
        self._paths.refresh()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Look no more."""
        self._witness.__exit__()

    @property
    def no_tracing_reason(self) -> str:
        """Why it is not tracing; empty if it is."""
        return self._witness.no_tracing_reason

    @property
    def source(self) -> str:
        """Where the kills are seen: "ring buffer" or "kernel log"."""
        return "kernel log" if self.no_tracing_reason else "ring buffer"

    def wait(self, seconds: float) -> None:
        """Sleep until there may be something to see; ending signals come through here only."""
        with signals_unblocked():
            poll = select.poll()
            for fd in self._witness.descriptors():
                poll.register(fd, select.POLLIN)
            poll.poll(max(seconds, 0) * 1000)

    def poll(self) -> list[OomKill]:
        """Return the kills that became complete since the last look, in order of time."""
        batch = self._witness.drain()
        self.lost += batch.log.lost if self.no_tracing_reason else batch.events_lost
        self._learn(batch.events)
        hits = [each for each in batch.events if each.kind in HITS]
        self._taken.extend(pid for each in hits for pid in (each.tgid, each.pid))
        # what the log tells of was traced before (OomSources.drain), or will not be
        untraced = [
            replace(
                said,
                cgroup=_shown(said.cgroup),
                memcg=_shown(said.memcg),
                group=_shown(said.group),
            )
            for said in batch.logged
            if said.pid not in self._taken
        ]
        seen = self._tracing.feed(batch.events)
        seen += self._tracing.overdue(time.monotonic_ns() - PATIENCE_NS)
        seen = [
            replace(each, cgroup=self.path(each.cgroup_id), memcg=self.path(each.memcg_id))
            for each in seen
        ]
        return sorted([*seen, *untraced], key=lambda each: each.at_ns)

    def path(self, cgroup_id: int | None) -> str | None:
        """Return the path of a cgroup; None if it was gone before it was looked for."""
        return None if cgroup_id is None else self._paths.known.get(cgroup_id)

    def _learn(self, events: Sequence[Event]) -> None:
        """Find the paths at once: a cgroup is often removed as soon as its victim has ended."""
        ids = {number for event in events for number in (event.cgroup_id, event.memcg_id) if number}
        if ids - self._paths.known.keys():
            self._paths.refresh()


def _shown(path: str | None) -> str | None:
    return None if path is None else printable(path)


class CgroupPaths:
    """Paths of cgroups by id, escaped for terminals; what is gone stays known."""

    def __init__(self, root: UnifiedNode) -> None:
        self._root = root
        self.known: dict[int, str] = {}

    def refresh(self) -> None:
        """Walk the hierarchy as it is now."""
        for node in self._root.walk():
            try:
                self.known[node.id] = printable(node.cgroup)
            except FileNotFoundError:  # removed while we walk
                continue
