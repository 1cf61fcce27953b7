"""A scenario: a file's values, all checked, that a plan can be made of. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from oomctl.scenario.fault import Origin
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import File
from oomctl.scenario.sizes import Sizes
from oomctl.scenario.words import Path


@dataclass(frozen=True)
class Scenario:
    """One experiment as it was written: its name (the file's), its text, its values."""

    name: str
    source: str
    file: File
    origin: Origin

    @property
    def description(self) -> str:
        """What it shows, in a sentence."""
        return self.file.description

    @cached_property
    def layout(self) -> Layout:
        """Where its hogs live."""
        return Layout(self.file)

    def sizes(self, memory: int | None = None) -> Sizes:
        """Return its sizes in bytes on a machine of `memory` bytes."""
        return Sizes(self.layout, memory)

    @property
    def existing(self) -> Iterator[tuple[Path, str]]:
        """The cgroups of the machine that it names, each after its key."""
        if self.file.parent:
            yield ("parent",), self.file.parent
        for index, call in enumerate(self.file.calls):
            if call.target and call.target.startswith("/"):
                yield ("call", index, "target"), call.target
