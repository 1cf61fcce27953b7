"""A kernel setting that is changed for the time of a block and restored, even after a crash."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oomctl.errors import UnsupportedError
from oomctl.files import directory, kernelfile
from oomctl.files.kernelfile import KernelFileError, explain
from oomctl.journal.entries import Changed, is_interface_file
from oomctl.journal.file import Journal
from oomctl.oom.plan import Sysctl

SYSCTLS = Path("/proc/sys")
SWITCHES = Path("/sys/kernel/mm")


@contextmanager
def temporarily(path: Path, wrote: str, journal: Journal) -> Iterator[Changed]:
    """Journal that the block will write `wrote` to a file, and restore the file at the end.

    The block itself writes the file. Raises KernelFileError if the file cannot be read,
    UnsupportedError if another oomctl is changing it.
    """
    try:
        folder = path.parent.stat().st_ino if is_interface_file(path.name) else None
    except OSError as error:
        raise explain(error, path, "read") from error
    change = Changed(str(path), folder, _chosen(kernelfile.fields(path)), wrote)
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
def switch_changed(path: Path, value: str, journal: Journal) -> Iterator[None]:
    """Change a file below /sys/kernel/mm for the time of the block.

    Raises UnsupportedError if the kernel has no such file, refuses the value, or stores another.
    """
    if not path.is_file():
        raise UnsupportedError(f"this kernel has no {path}", "leave it out")
    with _changed(path, value, str(path), journal):
        yield


@contextmanager
def sysctl_changed(sysctl: Sysctl, journal: Journal) -> Iterator[None]:
    """Change a sysctl for the time of the block.

    Raises UnsupportedError if the kernel has no such sysctl or refuses the value.
    """
    path = SYSCTLS.joinpath(*sysctl.name.split("."))
    if not path.is_file():
        raise UnsupportedError(f"this kernel has no sysctl {sysctl.name}", "leave it out")
    with _changed(path, sysctl.value, f"the sysctl {sysctl.name}", journal):
        yield


@contextmanager
def _changed(path: Path, value: str, name: str, journal: Journal) -> Iterator[None]:
    with temporarily(path, value, journal) as change:
        try:
            stored = _chosen(kernelfile.stored(path, value))
        except KernelFileError as error:
            raise UnsupportedError(
                f"cannot set {name} to {value}: {os.strerror(error.errno)}",
                "see the kernel's documentation for the values that it accepts",
            ) from error
        if stored != value:
            kernelfile.write(path, change.was)
            raise UnsupportedError(
                f"the kernel stored {stored}, not {value}, in {name}", f"write '{stored}'"
            )
        yield


def put_back(change: Changed) -> bool:
    """Restore the file and return whether that was necessary.

    It is not if the file no longer has oomctl's value: then another program has written it.
    """
    path = Path(change.path)
    with _folder(change) as at:
        if at is None or not _is_still_ours(change, at):
            return False
        kernelfile.write(path, change.was, at=at)
    return True


def is_still_ours(change: Changed) -> bool:
    """Return whether the file, of the same cgroup, still has the value that oomctl wrote."""
    with _folder(change) as at:
        return at is not None and _is_still_ours(change, at)


@contextmanager
def _folder(change: Changed) -> Iterator[int | None]:
    """Open the folder of the file, not through a link; None if it is gone or was replaced."""
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
    try:
        return change.was != change.wrote == _chosen(kernelfile.fields(Path(change.path), at=at))
    except KernelFileError as error:
        if error.errno == errno.ENOENT:
            return False
        raise


def _chosen(text: str) -> str:
    """Return the value that is in force: of several in one line, the one in brackets."""
    found = re.search(r"\[(.+?)\]", text)
    return found[1] if found else text


def _require_sole(change: Changed, journal: Journal) -> None:
    """Raise UnsupportedError if another oomctl has changed the same file or is about to.

    Each writes its own journal before it reads the others, so of two at least one sees the other.
    """
    hint = "run it again when that has ended"
    for pid, entries in journal.others():
        if any(isinstance(each, Changed) and each.path == change.path for each in entries):
            raise UnsupportedError(f"{change.path} is changed by another oomctl (pid {pid})", hint)
    if _chosen(kernelfile.fields(Path(change.path))) != change.was:
        raise UnsupportedError(f"{change.path} was changed by another program just now", hint)
