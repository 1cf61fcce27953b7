"""A setting of the kernel's that is changed for a while and put back, also after a crash."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oomctl.cgroup.node import explain
from oomctl.errors import UnsupportedError
from oomctl.files import directory
from oomctl.journal.entries import Changed, is_interface_file
from oomctl.journal.file import Journal
from oomctl.oom.plan import Sysctl

SYSCTLS = Path("/proc/sys")
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def temporarily(path: Path, wrote: str, journal: Journal) -> Iterator[Changed]:
    """Note that `wrote` is about to be written to a file, and put back what it held at the end.

    Who writes it is the block's business; it is given the note. Raises CgroupError where it cannot
    be read, UnsupportedError where another oomctl is at it.
    """
    try:
        of_cgroup = is_interface_file(path.name)
        folder = path.parent.stat().st_ino if of_cgroup else None
        change = Changed(str(path), folder, _held(path), wrote)
    except OSError as error:
        raise explain(error, path, "read") from error
    journal.write(change)
    try:
        _require_sole(change, journal)
    except BaseException:
        journal.forget(change)
        raise
    try:
        yield change
    finally:
        put_back(change)
        journal.forget(change)


@contextmanager
def sysctl_changed(sysctl: Sysctl, journal: Journal) -> Iterator[None]:
    """Let a sysctl hold something else for the time of the block.

    Raises UnsupportedError where the kernel has no such sysctl, or refuses the value.
    """
    path = SYSCTLS.joinpath(*sysctl.name.split("."))
    if not path.is_file():
        raise UnsupportedError(f"this kernel has no sysctl {sysctl.name}", "leave it out")
    with temporarily(path, sysctl.value, journal) as change:
        try:
            path.write_text(sysctl.value)
        except OSError as error:
            raise UnsupportedError(
                f"cannot set the sysctl {sysctl.name} to {sysctl.value}: {error.strerror}",
                "see what the kernel's documentation says that it takes",
            ) from error
        if (held := _held(path)) != sysctl.value:
            path.write_text(change.was)
            raise UnsupportedError(
                f"the sysctl {sysctl.name} took {sysctl.value} for {held}", f"write '{held}'"
            )
        yield


def put_back(change: Changed) -> bool:
    """Write what the file held before, and tell whether that was necessary.

    It is not where the file holds something else by now: then somebody else has written it.
    """
    path = Path(change.path)
    with _folder(change) as at:
        if at is None or not _is_still_ours(change, at):
            return False
        try:
            fd = os.open(path.name, os.O_WRONLY | _NO_LINK, dir_fd=at)
            try:
                os.write(fd, os.fsencode(change.was))
            finally:
                os.close(fd)
        except OSError as error:
            raise explain(error, path, f"write '{change.was}' to") from error
    return True


def is_still_ours(change: Changed) -> bool:
    """Tell whether the file, of the same cgroup, holds what oomctl wrote."""
    with _folder(change) as at:
        return at is not None and _is_still_ours(change, at)


@contextmanager
def _folder(change: Changed) -> Iterator[int | None]:
    """Open the folder of the file, through no link; None where it is gone or another by now."""
    path = Path(change.path)
    with ExitStack() as stack:
        try:
            at: int | None = stack.enter_context(directory.opened(path.parent))
            if change.folder is not None and os.fstat(at or 0).st_ino != change.folder:
                at = None
        except FileNotFoundError:
            at = None
        except OSError as error:
            raise explain(error, path, "read") from error
        yield at


def _is_still_ours(change: Changed, at: int) -> bool:
    path = Path(change.path)
    try:
        fd = os.open(path.name, os.O_RDONLY | _NO_LINK, dir_fd=at)
        with os.fdopen(fd, "rb") as file:
            return change.was != change.wrote == _words(file.read())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(error, path, "read") from error


def _held(path: Path) -> str:
    """Read what a file holds."""
    return _words(path.read_bytes())


def _words(data: bytes) -> str:
    """The kernel sets the numbers of a sysctl apart with tabs."""
    return " ".join(os.fsdecode(data).split())


def _require_sole(change: Changed, journal: Journal) -> None:
    """Raise UnsupportedError where another oomctl has changed the same file, or is about to.

    Each writes its own journal before it reads the others': of two, one at least sees the other.
    """
    cure = "run it again when that has ended"
    for pid, entries in journal.others():
        if any(isinstance(each, Changed) and each.path == change.path for each in entries):
            raise UnsupportedError(f"{change.path} is changed by another oomctl (pid {pid})", cure)
    if _held(Path(change.path)) != change.was:
        raise UnsupportedError(f"{change.path} is changed by somebody else meanwhile", cure)
