"""One caller: how it is started, what it leaves in shared memory, and how it ended.

The BPF program runs in the task that calls bpf(2). What a caller leaves in shared memory and in the
program's map outlives it. Its program is oomctl/caller/caller.c.
"""

import ctypes
import errno
import mmap
import os
import platform
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from ctypes import Structure, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol, Self

from oomctl import resources
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.files.kernelfile import explain
from oomctl.oom.call import CallResult
from oomctl.oom.plan import CALLER
from oomctl.proc.fork import cannot_start
from oomctl.signals import ENDING

_ADJ = Path("/proc/self/oom_score_adj")
_MFD_NOEXEC_SEAL = 8  # include/uapi/linux/memfd.h, since 105ff5339f49 (6.3)
_PASSED = ("shared", "ready", "start", "program", "results")

Words = Mapping[str, str | int]
"""The arguments of a caller by their keys, which caller.c lists."""


class Part(IntEnum):
    """What failed in a caller. Equal to `enum part` of caller.c."""

    ADJUST = 1
    JOIN = 2
    MAP = 3
    USAGE = 4
    OPEN = 5
    WRITE = 6
    REMOVED = 7


class SharedResult(Structure):
    """What a caller leaves for its parent in shared memory; times are CLOCK_MONOTONIC in ns.

    Equal to `struct shared` of caller.c.
    """

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("reclaimed", c_int64),
        ("ret", c_int32),
        ("attempts", c_uint32),
        ("spared", c_uint32),
        ("wrote_reclaim", c_uint32),
        ("failed", c_uint32),
        ("error", c_int32),
    ]


@dataclass(frozen=True)
class CallerEnd:
    """How a caller ended: its exit status, whether the timeout killed it, the error in it.

    `name` and `how` make a sentence: "the caller (pid 7)" "was killed by SIGTERM".
    """

    number: int
    pid: int
    status: int | None
    timed_out: bool
    name: str = "the caller"
    how: str = "ended"
    error: OomctlError | None = None

    @property
    def cut_off(self) -> bool:
        """Whether an error or a signal ended it early."""
        return self.error is not None or self.status is None

    def failure(self, when: str) -> OomctlError:
        """Return the error of a caller without a result; `when` says how far it had come."""
        if self.error:
            why = f"{self.name} failed {when}: {self.error.why}"
            return type(self.error)(why, self.error.hint)
        hint = "if the OOM killer took it, dmesg names it; run it again"
        if self.timed_out:
            hint = "give more time with --timeout"
        return OomctlError(f"{self.name} {self.how} {when}", hint)


class Trigger(Protocol):
    """Something that makes the OOM killer run, or kills instead of it."""

    words: Words
    """What a caller is asked to do."""

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return the result of a call; raise the error that prevented it."""


class SharedResults:
    """What `count` callers leave, in memory that they share with this process: `fd`."""

    fd: int
    _memory: mmap.mmap

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> Self:
        size = ctypes.sizeof(SharedResult) * self.count
        with ExitStack() as stack:
            self.fd = _memory()
            stack.callback(os.close, self.fd)
            os.ftruncate(self.fd, size)
            self._memory = stack.enter_context(mmap.mmap(self.fd, size))
            self._memory.write(bytes(size))  # so that no caller is charged for it
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def __getitem__(self, number: int) -> SharedResult:
        """Return what a caller has left so far."""
        return SharedResult.from_buffer_copy(self._memory, ctypes.sizeof(SharedResult) * number)


def _memory() -> int:
    try:
        return os.memfd_create("oomctl-callers", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create("oomctl-callers")


def start(words: Words) -> int:
    """Start a caller, which dies with this process; return its PID.

    It blocks the signals that ask oomctl to end. OomctlError if no process can be made.
    """
    binary = str(resources.built(f"caller.{platform.machine()}"))
    try:
        return os.posix_spawn(
            binary,
            [binary, CALLER, *(f"{key}={value}" for key, value in words.items())],
            {},
            # dup2 onto itself clears close-on-exec in the caller only
            file_actions=[
                (os.POSIX_SPAWN_DUP2, words[key], words[key]) for key in _PASSED if key in words
            ],
            setpgroup=0,
            setsigmask=(*ENDING, signal.SIGXFSZ),
        )
    except OSError as error:
        raise cannot_start(f"the process {CALLER}", error) from error


def error_of(left: SharedResult, words: Words) -> OomctlError | None:
    """Return the error that a caller has met; None if there is none."""
    if not left.failed:
        return None
    met = OSError(left.error, os.strerror(left.error))
    match Part(left.failed):
        case Part.ADJUST:
            return explain(met, _ADJ, f"write '{words['adj']}' to")
        case Part.JOIN:
            return explain(met, Path(str(words["procs"])), "write '0' to")
        case Part.MAP:
            return OomctlError(f"cannot access a BPF map: {met.strerror}")
        case Part.USAGE:
            return explain(met, Path(str(words["usage"])), "read")
        case Part.OPEN:
            return explain(met, Path(str(words["stall"])), "open")
        case Part.WRITE:
            path = words.get("stall") or words["write"]
            return explain(met, Path(str(path)), f"write '{words['text']}' to")
        case Part.REMOVED:
            return UnsupportedError(f"{words['stall']} was removed while a stall was waited for")
