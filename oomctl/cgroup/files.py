"""The formats of cgroup v2 interface files, as descriptors of cgroupspy, which knows v1 only."""

from collections.abc import Callable, Iterable
from typing import Any

from cgroupspy import interfaces

from oomctl.errors import OomctlError
from oomctl.text import cut

_LIMIT = 1 << 64


class InterfaceFile(interfaces.BaseFileInterface):
    """One file of a cgroup; None if this kernel or this cgroup lacks it.

    `parse` makes the value from the stripped text, with ValueError for malformed text; `form` makes
    the text to write from a value.
    """

    def __init__(
        self,
        filename: str,
        parse: Callable[[str], Any] = str,
        form: Callable[[Any], str] = str,
        *,
        readonly: bool = False,
        writeonly: bool = False,
    ) -> None:
        super().__init__(filename, readonly, writeonly)
        self._parse = parse
        self._form = form

    def sanitize_set(self, value: Any) -> str:
        """Return the text to write for a value."""
        return self._form(value)

    def __get__(self, instance: Any, owner: type) -> Any:
        """Read the file; on the class itself, return the descriptor."""
        if instance is None:
            return self
        if self.writeonly:
            raise AttributeError(f"{self.filename.decode()} can only be written")
        value = instance.get_property(self.filename)
        try:
            return None if value is None else self._parse(value)
        except ValueError:
            raise OomctlError(
                f"{instance.file(self.filename)} has unexpected content {cut(value)!r}"
            ) from None


class SubtreeControlFile(InterfaceFile):
    """The controllers of the children; assigning a set writes only the difference."""

    def __set__(self, instance: Any, wanted: Iterable[str]) -> None:
        """Write `+added -removed`, or nothing if the set is the same."""
        have = self.__get__(instance, type(instance)) or frozenset()
        wanted = frozenset(wanted)
        changes = [f"+{name}" for name in sorted(wanted - have)]
        changes += [f"-{name}" for name in sorted(have - wanted)]
        if changes:
            instance.set_property(self.filename, " ".join(changes))


def number(text: str) -> int:
    """Parse an unsigned number of 64 bits; ValueError for any other text."""
    value = int(text)
    if not 0 <= value < _LIMIT:
        raise ValueError(text)
    return value


def limit(text: str) -> float:
    """Parse a limit in bytes; `max` is infinity."""
    return float("inf") if text == "max" else number(text)


def limit_text(value: float) -> str:
    """Return the text of a limit."""
    return "max" if value == float("inf") else str(int(value))


def switch(text: str) -> bool:
    """Parse 0 or 1, such as in memory.oom.group."""
    return text != "0"


def switch_text(value: bool) -> str:
    """Return 1 or 0."""
    return "1" if value else "0"


def words(text: str) -> frozenset[str]:
    """Parse words on one line, such as in cgroup.controllers."""
    return frozenset(text.split())


def numbers(text: str) -> tuple[int, ...]:
    """Parse one number per line, such as in cgroup.procs; 0 is a process of another namespace."""
    return tuple(map(number, text.split()))


def counters(text: str) -> dict[str, int]:
    """Parse lines `name number`, such as in memory.events, in the kernel's order."""
    return {name: number(value) for name, value in map(str.split, text.splitlines())}


def pressure(text: str) -> dict[str, int]:
    """Parse the totals of memory.pressure in us: `some avg10=0.00 ... total=7` is {"some": 7}."""
    lines = (line.split() for line in text.splitlines())
    return {kind: number(total.removeprefix("total=")) for kind, *_averages, total in lines}
