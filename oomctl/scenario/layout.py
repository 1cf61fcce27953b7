"""The tree of a scenario: all its cgroups, the hogs in them, and the sizes of both. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from oomctl.scenario.model import Cgroup, File, Hog
from oomctl.scenario.names import TOP, down_to, join, parent, within
from oomctl.scenario.values import Percent


@dataclass(frozen=True)
class Member:
    """One hog of an entry: its name, the entry's name and table, and the path of its cgroup.

    `leaf`: the cgroup is the hog's own. Paths are the scenario's: `.`, `left/inner`.
    """

    name: str
    entry: str
    table: Hog
    cgroup: str
    leaf: bool


@dataclass(frozen=True)
class Layout:
    """The tree of a scenario on a machine with `memory` bytes.

    A percentage is of the nearest memory.max above, else of the machine's memory. Sizes that depend
    on the memory of an unknown machine (None) are None.
    """

    file: File
    memory: int | None = None

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every hog, in the order in which they are made."""
        return tuple(
            member for name, entry in self.file.hog.items() for member in _members(name, entry)
        )

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """The top, the cgroups that the file names, and those above them; parents come first."""
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

    def named(self, name: str) -> tuple[str, ...]:
        """Return the hogs that a name stands for: one of them, or all of an entry."""
        return tuple(member.name for member in self.members if name in (member.name, member.entry))

    @cached_property
    def late(self) -> frozenset[str]:
        """The hogs that a step starts."""
        started = (entry for step in self.file.step for entry in step.start or ())
        return frozenset(name for entry in started for name in self.named(entry))

    def below(self, cgroup: str) -> Iterator[Member]:
        """Yield the hogs in a cgroup and in those below it."""
        return (each for each in self.members if within(each.cgroup, cgroup))

    def settings(self, cgroup: str) -> Cgroup:
        """Return the file's table of a cgroup; an empty one if it has none."""
        return self.file.cgroup.get(cgroup, _NOTHING)

    def limit(self, cgroup: str) -> int | None:
        """Return the memory.max of a cgroup itself, if it has one."""
        given = self.settings(cgroup).memory.max
        return None if given is None else _number(given, self._whole_above(cgroup))

    def setting(self, cgroup: str, file: str, value: int | Percent | str) -> int | str | None:
        """Return what to write into an interface file."""
        whole = self._whole_above(cgroup) if file == "memory.max" else self._whole(cgroup)
        return _bytes(value, whole)

    def size(self, member: Member) -> int | None:
        """Return the bytes that a hog is to fill."""
        return _number(member.table.size, self._whole(member.cgroup))

    def wanted(self, cgroup: str) -> int | None:
        """Return the bytes that all hogs below a cgroup are to fill."""
        sizes = [self.size(member) for member in self.below(cgroup)]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def share(self, target: str, amount: int | Percent) -> int | None:
        """Return an amount; a percentage is of the target's memory.max, else of its hogs' sizes."""
        limit = self.limit(target)
        return _number(amount, self.wanted(target) if limit is None else limit)

    def _whole(self, cgroup: str) -> int | None:
        """Return what a percentage in a cgroup is of."""
        given = self.settings(cgroup).memory.max
        return self._whole_above(cgroup) if given in (None, "max") else self.limit(cgroup)

    def _whole_above(self, cgroup: str) -> int | None:
        """Return what a cgroup's own memory.max is a percentage of."""
        return self.memory if cgroup == TOP else self._whole(parent(cgroup))


_NOTHING = Cgroup()


def _bytes(amount: int | Percent | str, whole: int | None) -> int | str | None:
    """Return the bytes of an amount, given what it may be a percentage of; `max` stays."""
    if not isinstance(amount, Percent):
        return amount
    return None if whole is None else amount.of(whole)


def _number(amount: int | Percent | str, whole: int | None) -> int | None:
    size = _bytes(amount, whole)
    return size if isinstance(size, int) else None


def _members(name: str, entry: Hog) -> Iterator[Member]:
    count = 1 if entry.count is None else entry.count
    for number in range(1, count + 1):
        own = name if count == 1 else f"{name}-{number}"
        leaf = entry.cgroup.endswith("/")
        cgroup = join(entry.cgroup.removesuffix("/"), own) if leaf else entry.cgroup
        yield Member(own, name, entry, cgroup, leaf)
