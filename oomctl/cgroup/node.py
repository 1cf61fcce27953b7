"""Cgroup v2 nodes on top of cgroupspy: strict creation, real identities, errors that say why."""

import errno
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from cgroupspy.controllers import Controller
from cgroupspy.nodes import Node

from oomctl.cgroup.files import (
    CountersFile,
    InterfaceFile,
    LimitFile,
    NumberFile,
    NumbersFile,
    PressureFile,
    SubtreeControlFile,
    SwitchFile,
    WordsFile,
)
from oomctl.errors import OomctlError

_DEEPEST = 4096 - 256  # PATH_MAX, less the longest name of a file


class CgroupError(OomctlError):
    """An operation on a cgroup failed; `why` names the file, `hint` the cure."""


def explain(error: OSError, path: Path, doing: str) -> CgroupError:
    """Translate what cgroupfs means by an errno; the same errno means different things per file.

    `doing` is the operation in words ("write '64M'"). Returns the error to be raised.
    """
    match error.errno, path.name:
        # cgroupfs answers EACCES, not ENOENT, when a missing file is opened for writing.
        case ((errno.EACCES | errno.ENOENT), name) if (
            name.startswith("memory.") and not path.exists()
        ):
            hint = f"the memory controller is not enabled for {path.parent}"
        case errno.EBUSY, "cgroup.subtree_control":
            hint = (
                "processes live in this cgroup itself; only a cgroup without any can have children"
            )
        case errno.ENOENT, "cgroup.subtree_control":
            hint = f"{path.parent} was not given that controller by its parent"
        case errno.EBUSY, "cgroup.procs":
            hint = "its cgroup.subtree_control is not empty, so processes belong into its children"
        case errno.EBUSY, _:
            hint = "processes or child cgroups are still in it"
        case errno.EOPNOTSUPP, name if name.startswith("cgroup."):
            hint = f"see {path.parent}/cgroup.type: a threaded cgroup cannot do that"
        case errno.EROFS, _:
            hint = "cgroupfs is mounted read-only here (a container?)"
        case ((errno.EACCES | errno.EPERM), _):
            hint = "run it as root"
        case errno.ENOMEM, _:
            # a cgroup itself is charged to its parent (mm/memcontrol.c, mem_cgroup_css_alloc)
            hint = f"memory.max of {path.parent} or of one above it is reached; raise it"
        case errno.EAGAIN, _:
            hint = (
                "a limit on descendants or processes (cgroup.max.descendants, pids.max) is reached"
            )
        case ((errno.ENOENT | errno.ENODEV), _):
            hint = "the cgroup was removed meanwhile"
        case _:
            hint = ""
    return CgroupError(f"cannot {doing} {path}: {error.strerror}", hint)


class UnifiedController(Controller):
    """The interface files of one cgroup v2; assigning to one writes it."""

    # v1 files of the base class
    tasks = notify_on_release = clone_children = None

    cgroup_type = InterfaceFile("cgroup.type", readonly=True)
    procs = NumbersFile("cgroup.procs", readonly=True)
    controllers = WordsFile("cgroup.controllers", readonly=True)
    subtree_control = SubtreeControlFile("cgroup.subtree_control")
    cgroup_events = CountersFile("cgroup.events", readonly=True)
    stat = CountersFile("cgroup.stat", readonly=True)
    kill = SwitchFile("cgroup.kill", writeonly=True)
    freeze = SwitchFile("cgroup.freeze")
    memory_current = NumberFile("memory.current", readonly=True)
    memory_max = LimitFile("memory.max")
    memory_swap_max = LimitFile("memory.swap.max")
    memory_oom_group = SwitchFile("memory.oom.group")
    memory_events = CountersFile("memory.events", readonly=True)
    memory_events_local = CountersFile("memory.events.local", readonly=True)
    memory_pressure = PressureFile("memory.pressure", readonly=True)

    def __init__(self, node: "UnifiedNode") -> None:
        super().__init__(node)

    def file(self, filename: bytes) -> Path:
        """Return the path of an interface file."""
        return Path(os.fsdecode(self.node.full_path), os.fsdecode(filename))

    def get_property(self, filename: bytes) -> str | None:
        """Read a file, stripped; None if this cgroup has no such file, or is gone itself."""
        try:
            with open(self.node.full_path + b"/" + filename, "rb") as file:
                return os.fsdecode(file.read()).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            # ENODEV: removed after it was opened. EOPNOTSUPP: cgroup.procs of a threaded cgroup,
            # whose processes the domain above it lists
            if error.errno in (errno.ENODEV, errno.EOPNOTSUPP):
                return None
            raise explain(error, self.file(filename), "read") from error

    def set_property(self, filename: bytes, value: object) -> None:
        """Write a file in one write(2), as the kernel parses one command per write."""
        path = self.file(filename)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, os.fsencode(str(value)))
            finally:
                os.close(fd)
        except OSError as error:
            raise explain(error, path, f"write '{value}' to") from error


class UnifiedNode(Node):
    """One cgroup v2: a directory below the mount, its controller, its parent and children."""

    controller: UnifiedController

    def __init__(self, name: str, parent: "UnifiedNode | None" = None) -> None:
        super().__init__(os.fsencode(name), parent)  # the library assumes UTF-8
        # known from now on, else the deepest of thousands would ask its parents one by one
        _ = self.full_path, self.path

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
        """The directory in the file system, as bytes; the base class joins it at every look."""
        path: bytes = super().full_path
        return path

    @cached_property
    def path(self) -> bytes:
        """The path inside the hierarchy, as bytes; the base class walks up to the root for it."""
        path: bytes = super().path
        return path

    @property
    def directory(self) -> Path:
        """The directory in the file system."""
        return Path(os.fsdecode(self.full_path))

    @property
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
        for part in PurePosixPath(str(cgroup).lstrip("/")).parts:
            node = type(self)(part, parent=node)
        return node

    def create_cgroup(self, name: str) -> "UnifiedNode":
        """Make a child cgroup; unlike the base class never adopt one that exists, nor keep it.

        The root outlives any number of rounds, and what it kept would grow with them.
        """
        child = type(self)(name, parent=self)
        try:
            child.directory.mkdir()
        except FileExistsError:
            raise CgroupError(f"cgroup {child.directory} exists already") from None
        except OSError as error:
            raise explain(error, child.directory, "make the cgroup") from error
        return child

    def subtree(self) -> Iterator["UnifiedNode"]:
        """Walk what is on disk now, parents before children; what vanishes is left out.

        Siblings come in the order of their making, as the kernel keeps them: inode numbers rise.
        So deep that no path reaches their files, cgroups are left out too.
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
            below = (type(self)(name, parent=node) for _inode, name in reversed(children))
            ahead += (each for each in below if len(each.full_path) < _DEEPEST)

    def members(self) -> dict[int, str]:
        """Return the cgroup of every process below by PID, in the OOM killer's scan order."""
        found: dict[int, str] = {}
        for node in self.subtree():
            for pid in node.controller.procs or ():
                found.setdefault(pid, node.cgroup)
        return found
