"""Starts one hog with its arguments and its open files."""

import os
import platform
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from oomctl import resources
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import UnsupportedError
from oomctl.files.kernelfile import explain
from oomctl.oom.plan import Hog
from oomctl.proc.fork import cannot_start

_CHARGED = frozenset({"pipe", "socket", "slab"})
"""Kinds that fill until memory.current has risen by their size."""


def start(
    hog: Hog, root: UnifiedNode, *, parent: int, alone: bool, leash: int | None, place: Path | None
) -> tuple[int, int]:
    """Start a hog; return its PID and the descriptor that its reports are read from.

    It dies with the process `parent`, unless that is 0. `alone` says that no other hog is in its
    cgroup, so that the cgroup's charge is its own. Its tracer releases it when the pipe `leash` is
    closed. `place` is the folder for its own file, which has no name there. Raises OomctlError if a
    cgroup is gone or the program cannot be run.
    """
    binary = resources.built(f"hog.{platform.machine()}")
    with ExitStack() as ours:
        passed = _open(hog, root, alone, ours)
        if hog.kind == "file" and not hog.path:
            passed["file"] = ours.enter_context(_nameless(place)).fileno()
        if hog.kind == "traced" and leash is not None:
            passed["leash"] = leash
        reader, passed["report"] = os.pipe2(os.O_CLOEXEC)
        ours.callback(os.close, passed["report"])
        try:
            _give_page(reader, passed["report"])
            pid = os.posix_spawn(
                binary,
                [str(binary), hog.label, *_words(hog, parent=parent, **passed)],
                {},
                # dup2 onto itself clears close-on-exec in the hog only
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in passed.values()],
                # a process group of its own: Ctrl-C at the terminal is for oomctl, not for the hogs
                setpgroup=0,
                # beyond RLIMIT_FSIZE the write fails instead of a signal that ends the hog
                setsigmask=[signal.SIGXFSZ],
                setsigdef=[
                    signal.SIGPIPE,
                    signal.SIGCHLD,
                    signal.SIGINT,
                    signal.SIGTERM,
                    signal.SIGHUP,
                ],
            )
        except OSError as error:
            os.close(reader)
            raise cannot_start(f"the hog '{hog.name}' from {binary}", error) from error
    return pid, reader


def _give_page(reader: int, writer: int) -> None:
    """Have the page of a pipe charged to oomctl, so that a hog without memory can report it.

    anon_pipe_write() (fs/pipe.c) charges a new page to its caller, but the pipe keeps a page that
    has been read and takes it again; a report is merged into a page that has not been read.
    """
    os.write(writer, b"0")
    os.read(reader, 1)


def _nameless(place: Path | None) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=place, buffering=0)
    except OSError as error:
        raise UnsupportedError(
            f"cannot make a file in {place}: {error.strerror}", "set TMPDIR to another folder"
        ) from error


def _open(hog: Hog, root: UnifiedNode, alone: bool, ours: ExitStack) -> dict[str, int]:
    """Open the files that the hog inherits; return their descriptors by argument name."""
    directory = root.at(hog.cgroup).directory
    wanted = {"procs": (directory / "cgroup.procs", os.O_WRONLY)}
    if hog.kind in _CHARGED and alone:
        wanted["charge"] = directory / "memory.current", os.O_RDONLY
    if hog.kind == "shared":
        wanted["sharer"] = root.at(hog.sharer).directory / "cgroup.procs", os.O_WRONLY
    passed = {}
    for word, (path, mode) in wanted.items():
        try:
            passed[word] = os.open(path, mode | os.O_CLOEXEC)
        except OSError as error:
            # without the memory controller the hog counts what it writes
            if word == "charge" and isinstance(error, FileNotFoundError):
                continue
            raise explain(error, path, "open") from error
        ours.callback(os.close, passed[word])
    return passed


def _words(hog: Hog, **numbers: int) -> list[str]:
    """Return the hog's arguments, which hog/hog.c lists; those that are 0 are left out."""
    numbers |= {
        "rate": hog.rate or 0,
        "touch": hog.working_set,
        "thp": int(hog.thp),
        "tasks": hog.tasks,
        "hold": round(hog.hold * 1e9),
    }
    words = [f"kind={hog.kind}", f"adj={hog.oom_score_adj}", f"size={hog.size}"]
    words += [f"path={hog.path}"] if hog.path else []
    return words + [f"{key}={value}" for key, value in numbers.items() if value]
