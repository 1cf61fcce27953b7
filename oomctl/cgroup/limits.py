"""Limits of cgroups that refused a hog what it asked for, told by the kernel's own counters."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from oomctl.cgroup.files import CountersFile
from oomctl.cgroup.node import UnifiedNode
from oomctl.units import format_size

Refusals = Mapping[tuple[str, str], tuple[int, int]]
"""How often a limit refused something, by its cgroup and file: by `oom`, by `max` of its events."""


@dataclass(frozen=True)
class Limit:
    """A limit such as memory.max of one cgroup; `value` and `room` in bytes, or in tasks.

    `room` is what is left below it, `rose` by how much its refusals rose.
    """

    cgroup: str
    file: str
    value: int
    room: int
    rose: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        value = str(self.value) if self.file == "pids.max" else format_size(self.value)
        return f"{self.file} of {self.cgroup} ({value})"


def refusals(root: UnifiedNode, cgroups: Iterable[str], huge: bool = False) -> Refusals:
    """Count what the limits of these cgroups and of those above have refused so far.

    `huge` says that those on pages of hugetlb count too.
    """
    return {
        (node.cgroup, file): _count(node, file)
        for node in _lineage(root, cgroups)
        for file in _files(node, huge)
    }


def reached(
    root: UnifiedNode, cgroups: Iterable[str], before: Refusals, *, tasks: bool, huge: bool
) -> Limit | None:
    """Return the limit that has refused something since `before`, None where none has.

    `tasks` says that it was a task that was refused, which only pids.max does.
    """
    limits = []
    refused = set()
    for node in _lineage(root, cgroups):
        for file in _files(node, huge):
            old, new = before.get((node.cgroup, file), (0, 0)), _count(node, file)
            rose = new[0] - old[0], new[1] - old[1]
            refused |= {file} if any(rose) else set()
            # counted in the cgroup that asked, not in the one whose limit it was
            # (mm/hugetlb_cgroup.c, hugetlb_event): the one with the least room is meant
            told = (0, 0) if file.startswith("hugetlb.") else rose
            if limit := _limit(node, file, told):
                limits.append(limit)
    meant = (one for one in limits if one.file in refused and (one.file == "pids.max") is tasks)
    return max(meant, key=lambda one: (one.rose, -one.room), default=None)


def _lineage(root: UnifiedNode, cgroups: Iterable[str]) -> Iterator[UnifiedNode]:
    """Yield these cgroups and all above, each once."""
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
    """Read how often a limit refused something; not what those below it did, where that is told."""
    events = f"{file.removesuffix('.max').removesuffix('.rsvd')}.events"
    for name in (f"{events}.local", events):
        text = node.controller.get_property(name.encode())
        if text is not None:
            counters = CountersFile(name).sanitize_get(text)
            return counters.get("oom", 0), counters.get("max", 0)
    return 0, 0


def _limit(node: UnifiedNode, file: str, rose: tuple[int, int]) -> Limit | None:
    value = node.controller.get_property(file.encode())
    used = node.controller.get_property(f"{file.removesuffix('.max')}.current".encode())
    if value is None or value == "max":
        return None
    return Limit(node.cgroup, file, int(value), int(value) - int(used or 0), rose)
