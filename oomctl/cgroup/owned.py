"""A cgroup that oomctl makes: journaled before it exists, and known by its id afterwards."""

from dataclasses import dataclass
from typing import Self

from oomctl import console
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.removal import remove
from oomctl.files.kernelfile import KernelFileError
from oomctl.journal.entries import Made, Making
from oomctl.journal.file import Journal


@dataclass(frozen=True)
class JournaledCgroup:
    """A cgroup that oomctl made, and its entry in the journal."""

    node: UnifiedNode
    made: Made

    @classmethod
    def make(cls, parent: UnifiedNode, name: str, journal: Journal) -> Self:
        """Make a cgroup that must not exist yet; KernelFileError if that fails."""
        path = parent.at(name).directory
        if path.exists():
            raise KernelFileError(f"cgroup {path} exists already")
        making = Making(str(path))
        journal.write(making)
        try:
            node = parent.create_cgroup(name)
        except BaseException:
            journal.forget(making)
            raise
        try:
            made = Made(str(path), node.id)
            journal.write(made)
        except BaseException:
            path.rmdir()
            journal.forget(making)
            raise
        console.detail(f"made the cgroup {path}")
        return cls(node, made)

    def remove(self) -> None:
        """Kill what is in it and remove it; KernelFileError names the processes that hold it."""
        remove(self.node.directory, self.made.id)
        self.node.forget()

    @property
    def entries(self) -> tuple[Making, Made]:
        """Its entries in the journal, to be forgotten once it is removed, or the user's."""
        return Making(self.made.path), self.made
