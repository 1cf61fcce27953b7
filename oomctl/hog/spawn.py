"""Starts hogs, each with its arguments and its open files."""

import errno
import os
import platform
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from oomctl import resources
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import UnsupportedError
from oomctl.files.kernelfile import KernelFileError, explain
from oomctl.oom.plan import Hog
from oomctl.proc.fork import cannot_start

_CHARGED = frozenset({"pipe", "socket", "slab"})
"""Kinds that fill until memory.current has risen by their size."""

_TO_DEFAULT = (signal.SIGPIPE, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Starter:
    """Starts hogs one after the other; what the next one needs too stays open in the block.

    They die with the process `parent`, unless that is 0. Their tracers release them when the pipe
    `leash` is closed. `place` is the folder for their own files, which have no name there.
    """

    def __init__(
        self, root: UnifiedNode, *, parent: int, leash: int | None, place: Path | None
    ) -> None:
        self._root = root
        self._parent = parent
        self._leash = leash
        self._place = place
        self._last = ExitStack()
        self._cgroup: str | None = None
        self._procs = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._last.close()

    def start(self, hog: Hog, *, alone: bool) -> tuple[int, int]:
        """Start a hog; return its PID and the descriptor that its reports are read from.

        `alone` says that no other hog is in its cgroup, so that the cgroup's charge is its own.
        Raises OomctlError if a cgroup is gone or the program cannot be run.
        """
        binary = str(resources.built(f"hog.{platform.machine()}"))
        with ExitStack() as ours:
            passed = {"procs": self._procs_of(hog.cgroup), **self._open(hog, alone, ours)}
            reader, passed["report"] = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, passed["report"])
            try:
                give_page(reader, passed["report"])
                pid = os.posix_spawn(
                    binary,
                    [binary, hog.label, *_words(hog, parent=self._parent, **passed)],
                    {},
                    # dup2 onto itself clears close-on-exec in the hog only
                    file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in passed.values()],
                    # a process group of its own: Ctrl-C at the terminal is for oomctl, not for it
                    setpgroup=0,
                    # beyond RLIMIT_FSIZE the write fails instead of a signal that ends the hog
                    setsigmask=(signal.SIGXFSZ,),
                    setsigdef=_TO_DEFAULT,
                )
            except OSError as error:
                os.close(reader)
                raise cannot_start(f"the hog '{hog.name}' from {binary}", error) from error
        return pid, reader

    def _procs_of(self, cgroup: str) -> int:
        """Open cgroup.procs, unless it is that of the last hog."""
        if cgroup != self._cgroup:
            self._last.close()
            procs = self._root.at(cgroup).directory / "cgroup.procs"
            self._procs = _opened(procs, os.O_WRONLY, self._last)
            self._cgroup = cgroup
        return self._procs

    def _open(self, hog: Hog, alone: bool, ours: ExitStack) -> dict[str, int]:
        """Open the other files that a hog inherits; return their descriptors by argument name."""
        passed = {}
        if hog.kind in _CHARGED and alone:
            current = self._root.at(hog.cgroup).directory / "memory.current"
            try:
                passed["charge"] = _opened(current, os.O_RDONLY, ours)
            except KernelFileError as error:
                # without the memory controller the hog counts what it writes
                if error.errno != errno.ENOENT:
                    raise
        if hog.kind == "shared":
            procs = self._root.at(hog.sharer).directory / "cgroup.procs"
            passed["sharer"] = _opened(procs, os.O_WRONLY, ours)
        if hog.kind == "file" and not hog.path:
            passed["file"] = ours.enter_context(_nameless(self._place)).fileno()
        if hog.kind == "traced" and self._leash is not None:
            passed["leash"] = self._leash
        return passed


def give_page(reader: int, writer: int) -> None:
    """Have the page of a pipe charged to oomctl, so that a process without memory can report by it.

    anon_pipe_write() (fs/pipe.c) charges a new page to its caller, but the pipe keeps a page that
    has been read and takes it again; a report is merged into a page that has not been read.
    """
    os.write(writer, b"0")
    os.read(reader, 1)


def _opened(path: Path, mode: int, stack: ExitStack) -> int:
    try:
        fd = os.open(path, mode | os.O_CLOEXEC)
    except OSError as error:
        raise explain(error, path, "open") from error
    stack.callback(os.close, fd)
    return fd


def _nameless(place: Path | None) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=place, buffering=0)
    except OSError as error:
        raise UnsupportedError(
            f"cannot make a file in {place}: {error.strerror}", "set TMPDIR to another folder"
        ) from error


def _words(hog: Hog, **numbers: int) -> list[str]:
    """Return the hog's arguments, which hog/hog.c lists; those that are 0 are left out."""
    numbers |= {
        "rate": hog.rate or 0,
        "touch": hog.working_set,
        "thp": int(hog.thp),
        "tasks": hog.tasks,
        "exits": int(hog.leader_exits),
        "hold": round(hog.hold * 1e9),
    }
    words = [f"kind={hog.kind}", f"adj={hog.oom_score_adj}", f"size={hog.size}"]
    words += [f"path={hog.path}"] if hog.path else []
    return words + [f"{key}={value}" for key, value in numbers.items() if value]
