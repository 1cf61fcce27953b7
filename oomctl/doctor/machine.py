"""The machine as the checks read it; nothing is changed, and loaded programs are unloaded."""

import contextlib
import ctypes
import errno
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from oomctl import resources
from oomctl.bpf import btf, libbpf
from oomctl.bpf.declare import DeclareProgram
from oomctl.bpf.observer import Observer
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment import environment
from oomctl.proc import openfiles, procfs, programs
from oomctl.proc.kmsg import Kmsg
from oomctl.text import printable

CGROUP2_SUPER_MAGIC = 0x63677270  # include/uapi/linux/magic.h
_PROGRAM_SECONDS = 5.0


@dataclass(frozen=True)
class Program:
    """A process: its PID, its name, and the file that it runs ("" if that is hidden)."""

    pid: int
    name: str
    exe: str


def selected(text: str) -> str:
    """Return the word in brackets ("always [madvise] never"), or the whole text without any."""
    found = re.search(r"\[([^\]]*)\]", text)
    return found[1] if found else text


class Machine:
    """This machine; every method reads it anew, except for the cached properties.

    `root` is the folder that contains /proc and /sys, for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def path(self, path: str) -> Path:
        """Return the path of a file of this machine."""
        return self._root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """Return a file's text, stripped; None if there is none. OSError if it is unreadable."""
        try:
            raw = self.path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return os.fsdecode(raw).strip()

    def sysctl(self, name: str) -> int | None:
        """Return an integer sysctl; None if it does not exist. OSError if it is unreadable."""
        text = self.read(f"/proc/sys/{name.replace('.', '/')}")
        return None if text is None else int(text)

    @property
    def release(self) -> str:
        """The running kernel's release."""
        return platform.release()

    @property
    def architecture(self) -> str:
        """The machine's architecture, as in `uname -m`."""
        return platform.machine()

    @property
    def uid(self) -> int:
        """The effective user id."""
        return os.geteuid()

    @cached_property
    def status(self) -> dict[str, str]:
        """The fields of /proc/self/status."""
        lines = (self.read("/proc/self/status") or "").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def capabilities(self, held: str) -> int:
        """Return a set of oomctl's capabilities as a bit mask: "CapEff", "CapBnd" and so on."""
        return int(self.status[held], 16)

    def in_first_namespace(self, kind: str) -> bool:
        """Tell whether oomctl is in the initial namespace of a kind."""
        return procfs.in_first_namespace(kind)

    @cached_property
    def open_files(self) -> int:
        """The files that oomctl may have open, once it has raised its limit; -1 is no limit."""
        return openfiles.raise_limit()

    @cached_property
    def hierarchy(self) -> UnifiedNode:
        """The root of cgroup v2; UnsupportedError if none is mounted."""
        return hierarchy.unified_root()

    @cached_property
    def mount_options(self) -> frozenset[str]:
        """The options that cgroup v2 is mounted with."""
        found = hierarchy.mounts("cgroup2")
        return next(options for path, options in found if path == self.hierarchy.directory)

    @property
    def own_cgroup(self) -> str:
        """The cgroup v2 of oomctl, as its cgroup namespace shows it."""
        return procfs.unified_path(os.fsencode(self.read("/proc/self/cgroup") or ""))

    def magic(self, path: Path) -> int:
        """Return the type of the file system of a path. OSError if the path does not exist."""
        # f_type is the first word of struct statfs on every 64-bit machine
        buffer = ctypes.create_string_buffer(256)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.statfs(os.fsencode(path), buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
        return ctypes.c_ulong.from_buffer(buffer).value

    def read_only(self, path: Path) -> bool:
        """Tell whether the mount of a path is read-only."""
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)

    def may_write(self, path: Path) -> bool:
        """Tell whether oomctl may make files in a folder."""
        return os.access(path, os.W_OK | os.X_OK, effective_ids=True)

    def delegated(self, path: Path) -> bool:
        """Tell whether systemd has marked a cgroup as delegated to its unit."""
        for name in ("user.delegate", "trusted.delegate"):
            try:
                if os.getxattr(path, name) == b"1":
                    return True
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM):
                    raise
        return False

    def kfunc(self) -> btf.Kfunc:
        """Return the kernel's kfunc; UnsupportedError if oomctl cannot call it."""
        return environment.require_kfunc()

    @cached_property
    def has_kfunc(self) -> bool:
        """Whether oomctl can call the kfunc; False also if that is unknown."""
        try:
            return bool(self.kfunc())
        except Exception:
            return False

    def libbpf_version(self) -> str:
        """Return libbpf's version; UnsupportedError if it is not installed."""
        return libbpf.version()

    def require_btf(self) -> None:
        """Raise UnsupportedError if the kernel has no BTF."""
        with btf.vmlinux():
            pass

    def load(self) -> None:
        """Load the program that calls the kfunc, and unload it without a run."""
        with DeclareProgram():
            pass

    def trace(self) -> Observer:
        """Attach the observer, close it, and return it with its results."""
        with Observer() as observer:
            return observer

    def open_log(self) -> None:
        """Open and close the kernel log; UnsupportedError if oomctl may not read it."""
        with Kmsg():
            pass

    @property
    def available_memory(self) -> int:
        """The bytes that can be allocated without swapping."""
        return int(psutil.virtual_memory().available)

    def programs(self) -> Iterator[Program]:
        """Yield the processes of this machine."""
        for process in psutil.process_iter(["name", "exe"]):
            name, exe = process.info["name"] or "", process.info["exe"] or ""
            yield Program(process.pid, printable(name), printable(exe))

    def built_for(self, program: str) -> list[str]:
        """Return the architectures for which this installation has the hog or the caller."""
        folder = resources.built("observer.bpf.o").parent
        return sorted(
            path.suffix[1:] for path in folder.glob(f"{program}.*") if path.suffix != ".o"
        )

    def try_built(self, program: str) -> tuple[int, str]:
        """Run the hog or the caller without arguments; return its exit status and output."""
        return self.run(str(resources.built(f"{program}.{self.architecture}")))

    def run(self, *command: str) -> tuple[int, str]:
        """Run a program that only reports something; return its exit status and output."""
        return programs.run(*command, timeout=_PROGRAM_SECONDS)

    def which(self, name: str) -> Path | None:
        """Find a program in PATH."""
        found = shutil.which(name)
        return Path(found) if found else None

    def head(self, path: Path) -> bytes:
        """Return the first bytes of a program; none if it is unreadable."""
        with contextlib.suppress(OSError), path.open("rb") as file:
            return file.read(4096)
        return b""
