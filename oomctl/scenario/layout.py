"""Where a scenario's hogs live: every cgroup, declared, implied or a leaf of a hog's own. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from oomctl.scenario.model import Cgroup, File, Hog
from oomctl.scenario.names import TOP, down_to, join, parent, within


@dataclass(frozen=True)
class Member:
    """One hog of an entry: its name, the entry and its name, and the path of its cgroup.

    `leaf` tells that the cgroup is its own. Paths are the scenario's: `.`, `left/inner`.
    """

    name: str
    entry: str
    table: Hog
    cgroup: str
    leaf: bool


@dataclass(frozen=True)
class Layout:
    """The tree of a scenario."""

    file: File

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every hog, in the order of making."""
        return tuple(
            member for name, entry in self.file.hog.items() for member in _members(name, entry)
        )

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """The top, what the file names, and what that implies; parents come first."""
        return tuple(
            dict.fromkeys([TOP, *(up for each in self.file.cgroup for up in down_to(each))])
        )

    @cached_property
    def cgroups(self) -> tuple[str, ...]:
        """Every cgroup, parents before their children."""
        leaves = [m.cgroup for m in self.members if m.leaf and parent(m.cgroup) in self.declared]
        return tuple(dict.fromkeys([*self.declared, *leaves]))

    @cached_property
    def inner(self) -> frozenset[str]:
        """The cgroups that have children; the kernel allows no process in them."""
        return frozenset(parent(each) for each in self.cgroups if each != TOP)

    def below(self, cgroup: str) -> Iterator[Member]:
        """Yield the hogs in a cgroup and in those below it."""
        return (each for each in self.members if within(each.cgroup, cgroup))

    def settings(self, cgroup: str) -> Cgroup:
        """Return what the file says of a cgroup, which may be nothing."""
        return self.file.cgroup.get(cgroup, _NOTHING)


_NOTHING = Cgroup()


def _members(name: str, entry: Hog) -> Iterator[Member]:
    numbered = entry.count is not None and entry.count != 1
    for number in range(1, (1 if entry.count is None else entry.count) + 1):
        own = f"{name}-{number}" if numbered else name
        leaf = entry.cgroup.endswith("/")
        cgroup = join(entry.cgroup.removesuffix("/"), own) if leaf else entry.cgroup
        yield Member(own, name, entry, cgroup, leaf)
