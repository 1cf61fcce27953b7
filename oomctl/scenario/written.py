"""A scenario: a file's values, all checked, that a plan can be made of. Pure."""

from dataclasses import dataclass
from functools import cached_property

from oomctl.scenario.fault import Origin
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import File
from oomctl.scenario.sizes import Sizes


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
