"""The bytes behind a scenario's sizes: a percentage is of the limit above it. Pure."""

from dataclasses import dataclass

from oomctl.scenario.layout import Layout, Member
from oomctl.scenario.names import above
from oomctl.scenario.values import Percent


@dataclass(frozen=True)
class Sizes:
    """Sizes of one scenario on a machine of `memory` bytes; None where the machine is not known.

    What hangs on a machine that is not known is None itself.
    """

    layout: Layout
    memory: int | None = None

    def bytes(self, amount: int | Percent | str, whole: int | None) -> int | str | None:
        """Return the bytes of an amount, given what it is a share of; `max` stays as it is."""
        if not isinstance(amount, Percent):
            return amount
        return None if whole is None else amount.of(whole)

    def limit(self, cgroup: str) -> int | None:
        """Return the memory.max that a cgroup is given itself, if any."""
        given = self.layout.settings(cgroup).memory.max
        if given is None or given == "max":
            return None
        size = self.bytes(given, self.whole(cgroup, own=False))
        return size if isinstance(size, int) else None

    def whole(self, cgroup: str, own: bool = True) -> int | None:
        """Return what a percentage in a cgroup is of: the nearest limit above, else the machine.

        Without `own` the cgroup's own limit does not count.
        """
        for each in (cgroup, *above(cgroup)) if own else above(cgroup):
            limit = self.layout.settings(each).memory.max
            if limit is not None and limit != "max":
                return self.limit(each)
        return self.memory

    def setting(self, cgroup: str, file: str, value: int | Percent | str) -> int | str | None:
        """Return what to write into an interface file."""
        return self.bytes(value, self.whole(cgroup, own=file != "memory.max"))

    def hog(self, member: Member) -> int | None:
        """Return what a hog is to fill."""
        size = self.bytes(member.table.size, self.whole(member.cgroup))
        return size if isinstance(size, int) else None

    def wanted(self, cgroup: str) -> int | None:
        """Return what all hogs below a cgroup want together."""
        sizes = [self.hog(member) for member in self.layout.below(cgroup)]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def share(self, target: str, amount: int | Percent) -> int | None:
        """Return an amount of what a target may use: its limit, else what its hogs want."""
        whole = self.limit(target) if self.limit(target) is not None else self.wanted(target)
        size = self.bytes(amount, whole)
        return size if isinstance(size, int) else None
