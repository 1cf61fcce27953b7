"""Interface files of the kernel (cgroup files, sysctls, oom_score_adj), as Python writes them."""

import errno
import os
from pathlib import Path

from oomctl.errors import OomctlError

_PROC = Path("/proc")
_READ_SIZE = 1 << 16


class KernelFileError(OomctlError):
    """The kernel refused an operation on a cgroup or a file of its own.

    `why` names the file, `hint` what to do; `errno` is 0 if the kernel was not asked.
    """

    def __init__(self, why: str, hint: str = "", errno: int = 0) -> None:
        super().__init__(why, hint)
        self.errno = errno


def write(path: str | Path, value: object, *, at: int | None = None) -> None:
    """Write a value in one system call: the kernel parses one command per call.

    `at` is a descriptor of its folder, if there may be another at that path by now; then the file
    must not be a link. Raises KernelFileError.
    """
    try:
        fd = _open(path, os.O_WRONLY, at)
        try:
            os.write(fd, os.fsencode(str(value)))
        finally:
            os.close(fd)
    except OSError as error:
        raise explain(error, Path(path), f"write '{value}' to") from error


def read(path: str | Path, *, at: int | None = None) -> str:
    """Return the text of a file, stripped; `at` as for `write()`. Raises KernelFileError."""
    try:
        return os.fsdecode(_content(_open(path, os.O_RDONLY, at))).strip()
    except OSError as error:
        raise explain(error, Path(path), "read") from error


def content(path: str | bytes, at: int | None = None) -> bytes:
    """Return all bytes of a file; `at` is a descriptor of its folder. Raises OSError."""
    return _content(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=at))


def fields(path: Path, *, at: int | None = None) -> str:
    """Read a file with one blank between its fields: a sysctl sets its numbers apart by tabs."""
    return " ".join(read(path, at=at).split())


def stored(path: Path, value: object) -> str:
    """Write a value and return the one that the kernel has stored, as `fields()` gives it."""
    write(path, value)
    return fields(path)


def _open(path: str | Path, flags: int, at: int | None) -> int:
    if at is None:
        return os.open(path, flags | os.O_CLOEXEC)
    return os.open(Path(path).name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=at)


def _content(fd: int) -> bytes:
    """Read a file to its end and close it: the kernel may return less than is asked for."""
    data = b""
    try:
        while more := os.read(fd, _READ_SIZE):
            data += more
    finally:
        os.close(fd)
    return data


def explain(error: OSError, path: Path, doing: str) -> KernelFileError:
    """Return the error to raise for an errno, which means different things for different files.

    `doing` is the operation in words ("write '64M' to").
    """
    match error.errno, path.name:
        case _, "memory.pressure":
            hint = "does the kernel keep it (CONFIG_PSI, and psi=1 on its command line)?"
        # opening a missing file of cgroupfs for writing fails with EACCES, not with ENOENT
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
            hint = "it is mounted read-only here (a container?)"
        case ((errno.EACCES | errno.EPERM), _):
            hint = "run it as root"
        case errno.ENOMEM, _:
            # a cgroup itself is charged to its parent (mm/memcontrol.c, mem_cgroup_css_alloc())
            hint = f"memory.max of {path.parent} or of one above it is reached; raise it"
        case errno.EAGAIN, _:
            hint = (
                "a limit on descendants or processes (cgroup.max.descendants, pids.max) is reached"
            )
        case ((errno.ENOENT | errno.ENODEV), _) if not _of_proc(path):
            hint = "the cgroup was removed in the meantime"
        case _:
            hint = ""
    return KernelFileError(
        f"cannot {doing} {path}: {error.strerror}", hint, error.errno or errno.EIO
    )


def _of_proc(path: Path) -> bool:
    return path.is_relative_to(_PROC)
