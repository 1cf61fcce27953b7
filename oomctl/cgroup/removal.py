"""Removes a cgroup that oomctl made, with everything in it; nothing else in oomctl does.

It works from the cgroup's open directory, so another cgroup at the same path is never touched.
"""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from oomctl.files import directory, kernelfile
from oomctl.files.kernelfile import KernelFileError
from oomctl.proc import procfs

_SHOWN = 8


def remove(path: Path, cgroup_id: int, timeout: float = 5.0) -> bool:
    """Kill the tasks in a cgroup and below and remove it; return whether it was there.

    `timeout` bounds the wait for dying tasks, in seconds. Raises KernelFileError with the processes
    that hold it.
    """
    deadline = time.monotonic() + timeout
    with opened(path, cgroup_id) as fd:
        if fd is None:
            return False
        while True:
            try:
                for child in reversed(_below(fd)):
                    _rmdir(child, fd)
                _rmdir_if(cgroup_id, path)
                return True
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise KernelFileError(
                        f"cannot remove the cgroup {path}: {error.strerror}; "
                        f"held by {_holders(fd)}",
                        "end them, then run `oomctl clean`",
                    ) from error
            _require_not_ours(path, fd)
            # kills frozen tasks too (kernel/cgroup/freezer.c)
            with suppress(KernelFileError):  # whether it helped is seen by what follows
                kernelfile.write(path / "cgroup.kill", 1, at=fd)
            _kill_leaderless(fd)
            time.sleep(0.01)


def _kill_leaderless(fd: int) -> None:
    """Kill the processes whose leader has ended, which cgroup.kill does not reach.

    The kernel sends SIGKILL to the leader alone (kernel/cgroup/cgroup.c, __cgroup_kill).
    """
    for pid in _pids(fd):
        with suppress(OSError, ValueError), ExitStack() as stack:
            if procfs.memory_holder(pid) != pid:
                process = os.pidfd_open(pid)
                stack.callback(os.close, process)
                if pid in _pids(fd):  # so it is not another process of this number
                    signal.pidfd_send_signal(process, signal.SIGKILL)


def residents(path: Path, cgroup_id: int) -> list[int] | None:
    """Return the PIDs in a cgroup and below; None if it is gone."""
    with opened(path, cgroup_id) as fd:
        return None if fd is None else _pids(fd)


@contextmanager
def opened(path: Path, cgroup_id: int) -> Iterator[int | None]:
    """Open the directory of a cgroup; None if it is gone, or another one by now."""
    with ExitStack() as stack:
        try:
            fd = stack.enter_context(directory.opened(path))
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        yield fd if os.fstat(fd).st_ino == cgroup_id else None


def _rmdir_if(cgroup_id: int, path: Path) -> None:
    """Remove the directory of a cgroup unless it is another one by now."""
    with suppress(FileNotFoundError, NotADirectoryError), directory.opened(path.parent) as at:
        if os.stat(path.name, dir_fd=at, follow_symlinks=False).st_ino == cgroup_id:
            _rmdir(path.name, at)


def _below(fd: int) -> list[str]:
    """Return the directories below, parents before children, without those that vanish."""
    found = ["."]
    for each in found:  # it grows on the way
        with suppress(FileNotFoundError), _directory(each, fd) as at, os.scandir(at) as entries:
            found += [f"{each}/{e.name}" for e in entries if e.is_dir(follow_symlinks=False)]
    return found[1:]


@contextmanager
def _directory(path: str, at: int) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        yield fd
    finally:
        os.close(fd)


def _require_not_ours(path: Path, fd: int) -> None:
    """Raise KernelFileError if cgroup.kill would end oomctl itself, or what it runs in."""
    inside = set(_pids(fd))
    for task in procfs.protected_tasks():
        if task.pid in inside:
            raise KernelFileError(
                f"cannot remove the cgroup {path}: {task.label} is in it",
                "move it elsewhere, then run `oomctl clean`",
            )


def _rmdir(path: str, at: int) -> None:
    with suppress(FileNotFoundError):
        os.rmdir(path, dir_fd=at)


def _pids(fd: int) -> list[int]:
    found: list[int] = []
    for each in [".", *_below(fd)]:
        with suppress(OSError):
            file = os.open(f"{each}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd)
            with os.fdopen(file) as procs:
                found += map(int, procs.read().split())
    return found


def _holders(fd: int) -> str:
    pids = _pids(fd)
    named = [procfs.doing(pid) for pid in pids[:_SHOWN]]
    more = [f"{len(pids) - _SHOWN} more"] if len(pids) > _SHOWN else []
    return ", ".join(named + more) or "no visible process"
