"""Cgroup v2 nodes on top of cgroupspy: strict creation, real identities, errors that say why.

cgroupspy knows v1 only. This uses the parents and paths of its nodes and the descriptors of its
controllers; what does not work on v2, or bypasses the journal, raises NotImplementedError.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from cgroupspy.controllers import Controller
from cgroupspy.nodes import Node

from oomctl.cgroup import files
from oomctl.cgroup.files import InterfaceFile, SubtreeControlFile
from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError, explain

# ENODEV: removed after it was opened. EOPNOTSUPP: cgroup.procs of a threaded cgroup, whose
# processes the domain above it lists
_ABSENT = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)
_MOST_KNOWN = 4096
_DEEPEST = 4096 - 256  # PATH_MAX, less the longest name of a file


class _Refused:
    """Something of cgroupspy's that must not be used on cgroup v2."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, _owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise NotImplementedError(
            f"cgroupspy's {self._name} does not work on cgroup v2; use {self._instead}"
        )


def refused(instead: str) -> Any:
    """Return a descriptor that refuses what a base class offers; `instead` is what to use."""
    return _Refused(instead)


class UnifiedController(Controller):
    """The interface files of one cgroup v2; assigning to one writes it."""

    tasks = refused("procs")
    notify_on_release = refused("cgroup_events")
    clone_children = refused("subtree_control")
    get_content = refused("the attribute of the file")
    list_interfaces = refused("vars(UnifiedController)")

    cgroup_type = InterfaceFile("cgroup.type", readonly=True)
    procs = InterfaceFile("cgroup.procs", files.numbers, readonly=True)
    controllers = InterfaceFile("cgroup.controllers", files.words, readonly=True)
    subtree_control = SubtreeControlFile("cgroup.subtree_control", files.words)
    cgroup_events = InterfaceFile("cgroup.events", files.counters, readonly=True)
    stat = InterfaceFile("cgroup.stat", files.counters, readonly=True)
    kill = InterfaceFile("cgroup.kill", form=files.switch_text, writeonly=True)
    freeze = InterfaceFile("cgroup.freeze", files.switch, files.switch_text)
    memory_current = InterfaceFile("memory.current", files.number, readonly=True)
    memory_max = InterfaceFile("memory.max", files.limit, files.limit_text)
    memory_swap_max = InterfaceFile("memory.swap.max", files.limit, files.limit_text)
    memory_oom_group = InterfaceFile("memory.oom.group", files.switch, files.switch_text)
    memory_events = InterfaceFile("memory.events", files.counters, readonly=True)
    memory_events_local = InterfaceFile("memory.events.local", files.counters, readonly=True)
    memory_pressure = InterfaceFile("memory.pressure", files.pressure, readonly=True)

    def filepath(self, filename: bytes) -> bytes:
        """Return the path of an interface file, as bytes; the base class joins any two paths."""
        folder: bytes = self.node.full_path
        return b"%s/%s" % (folder, filename)

    def file(self, filename: bytes) -> str:
        """Return the path of an interface file."""
        return os.fsdecode(self.filepath(filename))

    def get_property(self, filename: bytes) -> str | None:
        """Read a file, stripped; None if this cgroup has no such file, or is gone itself."""
        try:
            return os.fsdecode(kernelfile.content(self.filepath(filename))).strip()
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise explain(error, Path(self.file(filename)), "read") from error

    def set_property(self, filename: bytes, value: object) -> None:
        """Write a file."""
        kernelfile.write(self.file(filename), value)


class UnifiedNode(Node):
    """One cgroup v2: a directory below the mount, its controller and its parent.

    The children are those on disk (`walk()`): cgroupspy's list of them is filled by its own Tree.
    """

    controller: UnifiedController
    children = refused("walk()")
    walk_up = refused("reversed(list(walk()))")
    delete_cgroup = refused("JournaledCgroup.remove()")
    delete_empty_children = refused("JournaledCgroup.remove()")

    def __init__(self, name: str, parent: "UnifiedNode | None" = None) -> None:
        super().__init__(os.fsencode(name), parent)  # the library assumes UTF-8
        del self.children
        # cached from the top down: a deep node would otherwise recurse through all its parents
        _ = self.full_path, self.path
        self._below: dict[str, UnifiedNode] = {}

    def _get_node_type(self) -> bytes:
        kind: bytes = self.NODE_CGROUP if self.parent else self.NODE_ROOT
        return kind

    def _get_controller_type(self) -> None:
        """Never guess a v1 controller from the directory's name."""

    def _get_controller(self) -> UnifiedController:
        return UnifiedController(self)

    def __hash__(self) -> int:
        return hash(self.full_path)

    @cached_property
    def full_path(self) -> bytes:
        """The directory in the file system, as bytes; cached, unlike in the base class."""
        path: bytes = super().full_path
        return path

    @cached_property
    def path(self) -> bytes:
        """The path inside the hierarchy, as bytes; cached, unlike in the base class."""
        path: bytes = super().path
        return path

    @cached_property
    def directory(self) -> Path:
        """The directory in the file system."""
        return Path(os.fsdecode(self.full_path))

    @cached_property
    def cgroup(self) -> str:
        """The path inside the hierarchy, as /proc/PID/cgroup has it: `/` for the root."""
        return os.fsdecode(self.path)

    @property
    def id(self) -> int:
        """What bpf_cgroup_from_id() takes: the inode number of the directory."""
        return self.directory.stat().st_ino

    def at(self, cgroup: str | PurePosixPath) -> "UnifiedNode":
        """Return the node of a cgroup below this one; it need not exist."""
        node = self
        for part in str(cgroup).split("/"):
            if part not in ("", "."):
                node = node._child(part)
        return node

    def _child(self, name: str) -> "UnifiedNode":
        """Return the node of a child, the same each time: it is a path, whatever is there."""
        found = self._below.get(name)
        if found is None:
            if len(self._below) >= _MOST_KNOWN:
                self._below.clear()
            found = self._below[name] = type(self)(name, parent=self)
        return found

    def forget(self) -> None:
        """Let go of a cgroup that was removed for good: its parent keeps no node of it or below."""
        if self.parent:
            self.parent._below.pop(os.fsdecode(self.name), None)

    def create_cgroup(self, name: str) -> "UnifiedNode":
        """Make a child cgroup; unlike the base class never adopt one that exists.

        For a cgroup that oomctl itself is to remove: JournaledCgroup.make().
        """
        child = self._child(name)
        try:
            child.directory.mkdir()
        except FileExistsError:
            raise KernelFileError(f"cgroup {child.directory} exists already") from None
        except OSError as error:
            raise explain(error, child.directory, "make the cgroup") from error
        return child

    def walk(self) -> Iterator["UnifiedNode"]:
        """Walk the cgroups on disk now, parents before children; one that vanishes is left out.

        Siblings come in the order of their making, as the kernel keeps them: inode numbers rise.
        Cgroups so deep that no path reaches their files are left out too.
        """
        ahead = [self]
        while ahead:
            node = ahead.pop()
            yield node
            try:
                # kernfs counts the directories below; a leaf has dozens of files to look through
                if node.directory.stat().st_nlink == 2:
                    continue
                with os.scandir(node.directory) as entries:
                    children = sorted((e.inode(), e.name) for e in entries if e.is_dir())
            except FileNotFoundError:
                continue
            below = (node._child(name) for _inode, name in reversed(children))
            ahead += (each for each in below if len(each.full_path) < _DEEPEST)

    def members(self) -> dict[int, str]:
        """Return the cgroup of every process below by PID, in the OOM killer's scan order."""
        return members(self.walk())


def members(nodes: Iterable[UnifiedNode]) -> dict[int, str]:
    """Return the cgroup of every process in these cgroups by PID."""
    found: dict[int, str] = {}
    for node in nodes:
        for pid in node.controller.procs or ():
            found.setdefault(pid, node.cgroup)
    return found
