"""The kernel's counters of OOM kills, read while no kill is under way."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.sources import NOTHING, Batch
from oomctl.oom.counts import CounterRises, EventCounter, KillCounts
from oomctl.proc import procfs

Watched = Callable[[], Iterable[UnifiedNode]]
"""Returns the cgroups whose memory.events count kills."""

_ATTEMPTS = 5
_PAUSE = 0.05  # seconds: a kill is counted just before its record is printed


@dataclass(frozen=True)
class Counters:
    """oom_kill of /proc/vmstat, and of the memory.events of cgroups with their ids, by path."""

    vmstat: int | None
    cgroups: Mapping[str, tuple[int, int | None]]

    @classmethod
    def read(cls, nodes: Iterable[UnifiedNode]) -> "Counters":
        """Read them now; a cgroup that is gone is left out."""
        found = {}
        for node in nodes:
            try:
                number = node.id
            except OSError:
                continue
            events = node.controller.memory_events
            found[node.cgroup] = number, None if events is None else events.get("oom_kill")
        return cls(procfs.vmstat("oom_kill"), found)

    def since(self, before: "Counters") -> CounterRises:
        """Return the rises of the machine's counter and of all cgroups that were or are there."""
        gone = (0, None)
        counters = {}
        for path in before.cgroups.keys() | self.cgroups.keys():
            (old, start), (new, end) = before.cgroups.get(path, gone), self.cgroups.get(path, gone)
            counters[path] = EventCounter(start, end, old == new)
        if self.vmstat is None or before.vmstat is None:
            return CounterRises(None, counters)
        return CounterRises(self.vmstat - before.vmstat, counters)


def watched(root: UnifiedNode, top: str | None) -> Watched:
    """Return what reads the cgroups whose memory.events count the kills in `top`, or in all.

    A cgroup counts for all below it, and the root has no such file. With the mount option
    memory_localevents each counts only its own, and there are none.
    """
    options = dict(hierarchy.mounts("cgroup2")).get(root.directory, frozenset())
    if "memory_localevents" in options:
        return tuple
    if top is not None:
        return lambda: (root.at(top),)

    def children() -> Iterable[UnifiedNode]:
        with os.scandir(root.directory) as entries:
            return [root.at(entry.name) for entry in entries if entry.is_dir()]

    return children


def settled(watched: Watched, drain: Callable[[], Batch]) -> tuple[Counters, Batch]:
    """Read the counters while no kill comes in between; return them and the evidence until then."""
    batch = NOTHING
    for _attempt in range(_ATTEMPTS):
        batch += drain()
        counters = Counters.read(watched())
        later = drain()
        batch += later
        if not later.has_kills and procfs.vmstat("oom_kill") == counters.vmstat:
            break
    return counters, batch


def reconciled(count: Callable[[], KillCounts]) -> KillCounts:
    """Count, and again if a difference is not explained: a kill may have been under way."""
    counts = count()
    for _attempt in range(_ATTEMPTS):
        if not counts.unexplained:
            break
        time.sleep(_PAUSE)
        counts = count()
    return counts
