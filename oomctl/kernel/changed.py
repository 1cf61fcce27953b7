"""A setting of the kernel's that is changed for a while and put back, also after a crash."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oomctl.journal import Changed
from oomctl.kernel.cgroups import explain
from oomctl.kernel.journal import Journal

_CGROUP_FILES = ("cgroup.", "memory.", "pids.")


@contextmanager
def to_be_changed(path: Path, wrote: str, journal: Journal) -> Iterator[None]:
    """Note that `wrote` is about to be written to a file, and put back what it held at the end.

    Who writes it is the block's business. Raises CgroupError where it cannot be read.
    """
    try:
        belongs = path.name.startswith(_CGROUP_FILES)
        folder = path.parent.stat().st_ino if belongs else None
        change = Changed(str(path), folder, _text(path), wrote)
    except OSError as error:
        raise explain(error, path, "read") from error
    journal.write(change)
    try:
        yield
    finally:
        put_back(change)
        journal.forget(change)


def put_back(change: Changed) -> bool:
    """Write what the file held before, and tell whether that was necessary.

    It is not where the file holds something else by now: then somebody else has written it.
    """
    path = Path(change.path)
    if not stands(change):
        return False
    try:
        path.write_bytes(os.fsencode(change.was))
    except OSError as error:
        raise explain(error, path, f"write '{change.was}' to") from error
    return True


def stands(change: Changed) -> bool:
    """Tell whether the file, of the same cgroup, holds what oomctl wrote."""
    path = Path(change.path)
    try:
        if change.folder is not None and path.parent.stat().st_ino != change.folder:
            return False
        return change.was != change.wrote == _text(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(error, path, "read") from error


def _text(path: Path) -> str:
    return os.fsdecode(path.read_bytes()).strip()
