"""Limits of cgroups that refused a hog memory or tasks, found by the kernel's own counters."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from oomctl.cgroup import files
from oomctl.cgroup.node import UnifiedNode
from oomctl.units import format_size

Refusals = Mapping[tuple[str, str], tuple[int, int]]
"""How often each limit, by cgroup and file, has refused: `oom` and `max` of its events file."""


@dataclass(frozen=True)
class Limit:
    """A limit such as memory.max of one cgroup; `value` and `room` in bytes, or in tasks.

    `room` is what is left below it, `rose` the increase of its two counters.
    """

    cgroup: str
    file: str
    value: int
    room: int
    rose: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        value = str(self.value) if self.file == "pids.max" else format_size(self.value)
        return f"{self.file} of {self.cgroup} ({value})"


def refusals(
    root: UnifiedNode, cgroups: Iterable[str], huge: bool = False, fresh: Collection[str] = ()
) -> Refusals:
    """Count the refusals of the limits of these cgroups and of those above so far.

    With `huge` the limits on hugetlb pages count too. Those of `fresh` cgroups began at 0.
    """
    return {
        (node.cgroup, file): _count(node, file)
        for node in _lineage(root, cgroups)
        if node.cgroup not in fresh
        for file in _files(node, huge)
    }


def reached(
    root: UnifiedNode, cgroups: Iterable[str], before: Refusals, *, tasks: bool, huge: bool
) -> Limit | None:
    """Return the limit that has refused something since `before`; None if none has.

    `tasks` says that a task was refused, which only pids.max does.
    """
    limits = []
    refused = set()
    for node in _lineage(root, cgroups):
        for file in _files(node, huge):
            old, new = before.get((node.cgroup, file), (0, 0)), _count(node, file)
            rose = new[0] - old[0], new[1] - old[1]
            refused |= {file} if any(rose) else set()
            # mm/hugetlb_cgroup.c, hugetlb_event() counts in the cgroup that charged, not in the one
            # whose limit was hit: take the limit with the least room
            counted = (0, 0) if file.startswith("hugetlb.") else rose
            if limit := _limit(node, file, counted):
                limits.append(limit)
    found = (each for each in limits if each.file in refused and (each.file == "pids.max") is tasks)
    return max(found, key=lambda each: (each.rose, -each.room), default=None)


def _lineage(root: UnifiedNode, cgroups: Iterable[str]) -> Iterator[UnifiedNode]:
    """Yield these cgroups and all above them, each once."""
    seen = set()
    for cgroup in cgroups:
        node: UnifiedNode | None = root.at(cgroup)
        while node and node.cgroup not in seen:
            seen.add(node.cgroup)
            yield node
            node = node.parent


def _files(node: UnifiedNode, huge: bool) -> Iterator[str]:
    yield from ("memory.max", "pids.max")
    if huge:
        yield from (path.name for path in sorted(node.directory.glob("hugetlb.*.max")))


def _count(node: UnifiedNode, file: str) -> tuple[int, int]:
    """Return how often a limit has refused, without the limits below it if the kernel can tell."""
    events = f"{file.removesuffix('.max').removesuffix('.rsvd')}.events"
    for name in (f"{events}.local", events):
        text = node.controller.get_property(name.encode())
        if text is not None:
            counters = files.counters(text)
            return counters.get("oom", 0), counters.get("max", 0)
    return 0, 0


def _limit(node: UnifiedNode, file: str, rose: tuple[int, int]) -> Limit | None:
    value = node.controller.get_property(file.encode())
    used = node.controller.get_property(f"{file.removesuffix('.max')}.current".encode())
    if value is None or value == "max":
        return None
    return Limit(node.cgroup, file, int(value), int(value) - int(used or 0), rose)
