"""What a hog reports through its pipe, step by step, and what a failed step means."""

import errno
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from oomctl.cgroup.limits import Limit
from oomctl.oom.holdings import Filled
from oomctl.oom.plan import Hog

_REPORT = struct.Struct("=iiiiQQQ")
_SECOND = 1_000_000_000
_HUGE_PAGE = 2 << 20

READ_SIZE = 16 * _REPORT.size
"""Bytes to read at once: whole reports, since each is written by one write(2)."""


class Step(IntEnum):
    """The steps of a hog; equal to `enum step` in hog/hog.c."""

    START = 0
    TRACE = 1
    JOIN = 2
    ADJUST = 3
    MAP = 4
    FILL = 5
    SHARE = 6
    READY = 7


class Report(NamedTuple):
    """One step that was done or failed; `error` is the errno.

    `child` is the PID of a child that was killed while the hog filled, `status` its wait status.
    """

    step: Step
    error: int
    child: int
    status: int
    bytes: int
    took_ns: int
    lost_ns: int

    def filled(self, hog: Hog) -> Filled:
        """Return what was filled; lost time is converted to bytes at the hog's rate."""
        return Filled(self.bytes, self.took_ns, self.lost_ns * (hog.rate or 0) // _SECOND)


_FAILED = {
    Step.START: "did not start",
    Step.TRACE: "could not be traced",
    Step.JOIN: "could not join its cgroup",
    Step.ADJUST: "could not set its oom_score_adj",
    Step.MAP: "could not map its memory",
    Step.FILL: "could not fill its memory",
    Step.SHARE: "could not share its memory with a process in another cgroup",
    Step.READY: "ended before it was ready",
}
_OPENED = {
    "file": "could not open its file",
    "pipe": "could not prepare its pipes",
    "socket": "could not prepare its sockets",
    "slab": "could not make its tmpfs",
}

_NO_FILE = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.ESPIPE,
        errno.EINVAL,
        errno.ENXIO,
    )
)
"""Errors for the path of a hog of kind `file` that is not a readable regular file."""

NO_MEMORY = frozenset(
    (errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.EFAULT, errno.ENFILE, errno.ENOSPC)
)
"""The kernel's errors for a lack of memory; ENFILE and ENOSPC for an inode."""


def interrupted(last: Step, hog: Hog) -> Step:
    """Return the step that a hog was in if its last report was of the step `last`."""
    left_out = set() if hog.size else {Step.MAP}
    left_out |= set() if hog.size or hog.kind in ("threads", "forker") else {Step.FILL}
    left_out |= set() if hog.kind == "shared" else {Step.SHARE}
    return next(step for step in Step if step > last and step not in left_out) if last else last


def reports(data: bytes) -> Iterator[Report]:
    """Parse whole reports."""
    for step, *rest in _REPORT.iter_unpack(data):
        yield Report(Step(step), *rest)


def failure(step: Step, hog: Hog, error: int = 0) -> str:
    """Say which step failed, and with which errno if there is one."""
    what = _OPENED.get(hog.kind) if step is Step.MAP else None
    what = what or _FAILED[step]
    return f"{what}: {os.strerror(error)}" if error else what


def is_shortage(report: Report) -> bool:
    """Return whether a step may have failed for a lack of memory or of a free task slot."""
    return report.step in (Step.MAP, Step.FILL) or report.error in NO_MEMORY


def is_no_task(hog: Hog, error: int) -> bool:
    """Return whether a new task was refused; mlock() has the same errno for memory."""
    return error == errno.EAGAIN and hog.kind != "mlock"


def hint(step: Step, hog: Hog, error: int, limit: Limit | None = None) -> str:
    """Say what to do about a failed step; empty if that is not known.

    `limit` is the cgroup limit that has refused memory or a task.
    """
    if limit:
        return f"raise it, or ask for {'fewer tasks' if limit.file == 'pids.max' else 'less'}"
    match step, error:
        case Step.ADJUST, _ if hog.oom_score_adj < 0 and error not in NO_MEMORY:
            return "lowering it needs CAP_SYS_RESOURCE, which root may lack in a container"
        case Step.TRACE, errno.EPERM:
            return "tracing needs CAP_SYS_PTRACE"
        case ((Step.MAP | Step.FILL), _) if known := _filling_hint(hog, error):
            return known
        case _, _ if step is Step.MAP:
            return "ask for less"
        case _, _ if is_no_task(hog, error):
            return "kernel.threads-max or kernel.pid_max is reached; ask for fewer tasks"
        case _, (errno.ENOMEM | errno.EFAULT | errno.ENOBUFS | errno.EAGAIN):
            return (
                "no limit of its cgroups is reached, so the machine has no memory left; "
                "ask for less"
            )
    return ""


def _filling_hint(hog: Hog, error: int) -> str:
    match hog.kind, error:
        case "hugetlb", (errno.ENOMEM | errno.EFAULT):
            pages = -(-hog.size // _HUGE_PAGE)
            return f"set huge pages aside with `sysctl vm.nr_hugepages={pages}` or more"
        case "file", errno.ENODATA:
            return f"{hog.path} is shorter than the hog; give it a longer file or ask for less"
        case "file", error if hog.path and error in _NO_FILE:
            return f"name a file that can be read instead of {hog.path}"
        case "file", errno.ENOSPC:
            return "make room on its file system, set TMPDIR to another one, or ask for less"
        case "file", errno.EFBIG:
            return "raise the limit of `ulimit -f`, or ask for less"
        case "mlock", errno.EPERM:
            return "locking memory needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK"
        case "slab", errno.EPERM:
            return "mounting a tmpfs needs CAP_SYS_ADMIN"
        case (("pipe" | "socket" | "slab"), errno.EOPNOTSUPP):
            return "the kernel does not charge it; boot without cgroup.memory=nokmem"
        case (("pipe" | "socket"), (errno.EMFILE | errno.ENFILE)):
            return "raise fs.nr_open or fs.file-max, or ask for less"
        case _, errno.EINVAL if hog.thp:
            return "the kernel has no transparent huge pages; leave out thp"
    return ""
