"""What a hog reports through its pipe, step by step, and what it means when a step fails."""

import errno
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from oomctl.cgroup.limits import Limit
from oomctl.oom.filled import Filled
from oomctl.oom.plan import Hog

_REPORT = struct.Struct("=iiiiQQQ")
_SECOND = 1_000_000_000
_HUGE_PAGE = 2 << 20

READ_SIZE = 16 * _REPORT.size
"""Bytes to read at once: whole reports, since each is written in one piece."""


class Step(IntEnum):
    """How far a hog came; equal to `enum step` in hog/hog.c."""

    START = 0
    TRACE = 1
    JOIN = 2
    ADJUST = 3
    MAP = 4
    FILL = 5
    SHARE = 6
    READY = 7


class Report(NamedTuple):
    """One step that was done, or that failed with `error`, an errno.

    `child` is the PID of the child that was killed while the hog filled, `status` its wait status.
    """

    step: Step
    error: int
    child: int
    status: int
    bytes: int
    took_ns: int
    lost_ns: int

    def filled(self, hog: Hog) -> Filled:
        """Return the same in bytes, as the hog's rate has it."""
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
"""What comes of the path of a hog of kind `file` that is no regular file that can be read."""

WANT = frozenset(
    (errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.EFAULT, errno.ENFILE, errno.ENOSPC)
)
"""What the kernel says for want of memory; ENFILE and ENOSPC of an inode that was not charged."""


def interrupted(came: Step, hog: Hog) -> Step:
    """Return the step that a hog was at which last reported `came`, and then no more."""
    left_out = set() if hog.size else {Step.MAP}
    left_out |= set() if hog.size or hog.kind in ("threads", "forker") else {Step.FILL}
    left_out |= set() if hog.kind == "shared" else {Step.SHARE}
    return next(step for step in Step if step > came and step not in left_out) if came else came


def reports(data: bytes) -> Iterator[Report]:
    """Take whole reports apart."""
    for step, *rest in _REPORT.iter_unpack(data):
        yield Report(Step(step), *rest)


def failure(step: Step, hog: Hog, error: int = 0) -> str:
    """Say in words which step failed, and by which errno if there was one."""
    what = _OPENED.get(hog.kind) if step is Step.MAP else None
    what = what or _FAILED[step]
    return f"{what}: {os.strerror(error)}" if error else what


def for_want(report: Report) -> bool:
    """Tell whether a step may have failed for want of memory, or of room for one more task."""
    return report.step in (Step.MAP, Step.FILL) or report.error in WANT


def no_task(hog: Hog, error: int) -> bool:
    """Tell whether it was a task that a hog could not have; mlock() says the same of memory."""
    return error == errno.EAGAIN and hog.kind != "mlock"


def hint(step: Step, hog: Hog, error: int, limit: Limit | None = None) -> str:
    """Say in a line what to do about it; empty where nothing is known.

    `limit` is the limit of a cgroup that has refused it something.
    """
    if limit:
        return f"raise it, or ask for {'fewer tasks' if limit.file == 'pids.max' else 'less'}"
    match step, error:
        case Step.ADJUST, _ if hog.oom_score_adj < 0 and error not in WANT:
            return "lowering it needs CAP_SYS_RESOURCE, which root may lack in a container"
        case Step.TRACE, errno.EPERM:
            return "tracing needs CAP_SYS_PTRACE"
        case ((Step.MAP | Step.FILL), _) if known := _filling_hint(hog, error):
            return known
        case _, _ if step is Step.MAP:
            return "ask for less"
        case _, _ if no_task(hog, error):
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
