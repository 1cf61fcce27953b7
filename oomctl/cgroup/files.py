"""The formats of cgroup v2 interface files, as descriptors of cgroupspy, which knows v1 only."""

from collections.abc import Iterable
from typing import Any

from cgroupspy import interfaces

from oomctl.errors import OomctlError
from oomctl.text import cut

_LIMIT = 1 << 64


class InterfaceFile(interfaces.BaseFileInterface):
    """One file of a cgroup; None if this kernel or this cgroup lacks it."""

    def __init__(self, filename: str, *, readonly: bool = False, writeonly: bool = False) -> None:
        super().__init__(filename, readonly, writeonly)

    def sanitize_get(self, value: str) -> Any:
        """Return the value for the stripped text of the file; ValueError for malformed text."""
        return value

    def __get__(self, instance: Any, owner: type) -> Any:
        """Read the file; on the class itself, return the descriptor."""
        if instance is None:
            return self
        if self.writeonly:
            raise AttributeError(f"{self.filename.decode()} can only be written")
        value = instance.get_property(self.filename)
        try:
            return None if value is None else self.sanitize_get(value)
        except ValueError:
            raise OomctlError(
                f"{instance.file(self.filename)} has unexpected content {cut(value)!r}"
            ) from None


class NumberFile(InterfaceFile):
    """A plain number, such as memory.current."""

    def sanitize_get(self, value: str) -> int:
        """Return the number."""
        return _number(value)


class LimitFile(InterfaceFile):
    """A limit in bytes; infinity is `max`."""

    def sanitize_get(self, value: str) -> float:
        """Return the limit, infinity for `max`."""
        return float("inf") if value == "max" else _number(value)

    def sanitize_set(self, value: float) -> str:
        """Return `max` for infinity, else the number of bytes."""
        return "max" if value == float("inf") else str(int(value))


class SwitchFile(InterfaceFile):
    """0 or 1, such as memory.oom.group."""

    def sanitize_get(self, value: str) -> bool:
        """Return whether it is on."""
        return value != "0"

    def sanitize_set(self, value: bool) -> str:
        """Return 1 or 0."""
        return "1" if value else "0"


class WordsFile(InterfaceFile):
    """A set of words on one line, such as cgroup.controllers."""

    def sanitize_get(self, value: str) -> frozenset[str]:
        """Return the words."""
        return frozenset(value.split())


class SubtreeControlFile(WordsFile):
    """The controllers of the children; assigning a set writes only the difference."""

    def __set__(self, instance: Any, wanted: Iterable[str]) -> None:
        """Write `+added -removed`, or nothing if the set is the same."""
        have = self.__get__(instance, type(instance)) or frozenset()
        wanted = frozenset(wanted)
        changes = [f"+{name}" for name in sorted(wanted - have)]
        changes += [f"-{name}" for name in sorted(have - wanted)]
        if changes:
            instance.set_property(self.filename, " ".join(changes))


class NumbersFile(InterfaceFile):
    """One number per line, such as cgroup.procs; 0 is a process outside our PID namespace."""

    def sanitize_get(self, value: str) -> tuple[int, ...]:
        """Return the numbers in the kernel's order."""
        return tuple(map(_number, value.split()))


class CountersFile(InterfaceFile):
    """`name number` lines, such as memory.events."""

    def sanitize_get(self, value: str) -> dict[str, int]:
        """Return the counters by name, in the kernel's order."""
        return {name: _number(number) for name, number in map(str.split, value.splitlines())}


class PressureFile(InterfaceFile):
    """Stall times, such as memory.pressure: `some avg10=0.00 ... total=7`, in microseconds."""

    def sanitize_get(self, value: str) -> dict[str, int]:
        """Return the total of each line by its first word."""
        found = {}
        for line in value.splitlines():
            kind, *_averages, total = line.split()
            found[kind] = _number(total.removeprefix("total="))
        return found


def _number(text: str) -> int:
    """Parse an unsigned number of 64 bits; ValueError for any other text."""
    number = int(text)
    if not 0 <= number < _LIMIT:
        raise ValueError(text)
    return number
