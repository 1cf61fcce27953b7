"""Finds a folder whose files are page cache: kept in memory, and reclaimable once written."""

import ctypes
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from oomctl import cache
from oomctl.errors import UnsupportedError
from oomctl.units import format_size

LAB_DISK = Path("/run/oomctl/disk")
"""A folder on the host's disk, mounted in the lab's guest by lab/guest-init.sh."""

_SAMPLE = 64 * mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


def find_place(size: int) -> Path:
    """Return the first folder whose files are page cache and that has room for `size` bytes.

    Raises UnsupportedError with the reason for each folder that is not suitable.
    """
    refused = []
    for folder in _candidates():
        why = refusal(folder, size)
        if not why:
            return folder
        refused.append(f"{folder} {why}")
    raise UnsupportedError(
        f"no folder keeps files as page cache for hogs of kind 'file': {', '.join(refused)}",
        "set TMPDIR to a folder on a disk, or give the hog the path of an existing file",
    )


def refusal(folder: Path, size: int) -> str:
    """Return why a folder is not suitable; empty if it is.

    A sample is written, because no interface tells: an overlay has its pages in the file system
    below, a tmpfs cannot drop them, and others cache nothing.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(_SAMPLE))
            written = _resident(file.fileno())
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            left = _resident(file.fileno())
        room = os.statvfs(folder)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not written:
        return "keeps no page cache"
    if left >= written:
        return "holds them as shmem"
    free = room.f_bavail * room.f_frsize
    return f"has room for {format_size(free)} only" if free < size else ""


def _candidates() -> Iterator[Path]:
    own = os.environ.get("TMPDIR")
    wanted = [Path(own)] if own else []
    wanted += [Path("/var/tmp"), Path(), cache.place(), LAB_DISK]  # noqa: S108
    with suppress(FileNotFoundError):  # the current folder may be gone
        wanted = [folder.absolute() for folder in wanted]
    yield from dict.fromkeys(folder for folder in wanted if folder.is_dir())


def _resident(fd: int) -> int:
    """Count the pages of the sample that are in the page cache."""
    with closing(mmap.mmap(fd, _SAMPLE)) as mapped:
        pages = (ctypes.c_ubyte * (_SAMPLE // mmap.PAGESIZE))()
        view = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(view))
        del view  # otherwise the mapping cannot be closed
        if _libc.mincore(address, ctypes.c_size_t(_SAMPLE), pages):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return sum(page & 1 for page in pages)
