"""Cleans up after an oomctl process that was killed before it could do so itself."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oomctl import console
from oomctl.cgroup import hierarchy, removal
from oomctl.errors import OomctlError
from oomctl.experiment import setting
from oomctl.experiment.setting import is_still_ours, put_back
from oomctl.files import directory
from oomctl.journal import entries, rundir
from oomctl.journal.entries import Changed, Entry, Made, Making, Stays
from oomctl.journal.file import abandoned, boot
from oomctl.journal.rundir import JournalFolder
from oomctl.proc import procfs

_UNKNOWN = "an unknown process"
_MISFITS = dict.fromkeys((Making, Made), "is not a cgroup that oomctl could have made")
_MISFITS |= dict.fromkeys((Changed, Stays), "is neither a sysctl nor a cgroup file")


@dataclass
class Leftovers:
    """What one process left behind: what was undone, and what could not be."""

    owner: str
    done: list[str] = field(default_factory=list)
    failed: list[OomctlError] = field(default_factory=list)


def clean_up(*, really: bool = True) -> Iterator[Leftovers]:
    """Undo the entries of each journal whose process is gone, and remove it if nothing is left.

    Without `really`, only report what would be done. Raises UnsupportedError if the journals cannot
    be read.
    """
    with rundir.opened() as folder:
        if folder is None:
            return
        for name in folder.names():
            if found := _clean_up(folder, name, really):
                yield found


def sweep() -> None:
    """Clean up before a run; print a line for each process that left something behind."""
    for found in clean_up():
        if found.done:
            console.note(f"cleaned up after {found.owner}: {', '.join(found.done)}")
        for failure in found.failed:
            console.note(f"still there after {found.owner}: {failure}")


def _clean_up(folder: JournalFolder, name: str, really: bool) -> Leftovers | None:
    path = folder.path / name
    try:
        with abandoned(folder, name) as text:
            if text is None:
                return None
            found = _undo_all(text, really)
            if really and not found.failed:
                folder.remove(name)
            return found
    except ValueError as error:
        what = f"{path} is not a journal of oomctl: {error}"
        hint = f"look at it, then rm {shlex.quote(str(path))}"
        return Leftovers(_UNKNOWN, failed=[OomctlError(what, hint)])
    except OomctlError as error:
        return Leftovers(_UNKNOWN, failed=[error])


def _undo_all(text: bytes, really: bool) -> Leftovers:
    """Undo the entries of a journal; ValueError, before anything is done, if it is not one."""
    owner, undone = entries.read(text)
    found = Leftovers(f"oomctl (pid {owner.pid})" if owner else "oomctl")
    # cgroup ids start again at each boot, and nothing that is to be undone survives one
    if owner is None or owner.boot != boot():
        return found
    mounts = [str(path) for path, _options in hierarchy.mounts("cgroup2")]
    settings = [str(setting.SYSCTLS), str(setting.SWITCHES)]
    for entry in undone:
        if not entries.belongs(entry, mounts, settings):
            raise ValueError(f"{entry.path!r} {_MISFITS[type(entry)]}")
    for entry in entries.to_undo(undone):
        try:
            if did := (_undo if really else _would_undo)(entry):
                found.done.append(did)
        except OomctlError as error:
            found.failed.append(error)
        except OSError as error:
            found.failed.append(OomctlError(f"cannot look at {error.filename}: {error.strerror}"))
    return found


def _undo(entry: Entry) -> str:
    match entry:
        case Changed() if put_back(entry):
            return f"put {entry.path} back to {entry.was}"
        case Made() if removal.remove(Path(entry.path), entry.id):
            return f"removed {entry.path}"
        case Making() if _rmdir_empty(Path(entry.path)):
            return f"removed {entry.path}"
    return ""


def _would_undo(entry: Entry) -> str:
    match entry:
        case Changed() if is_still_ours(entry):
            return f"put {entry.path} back from {entry.wrote} to {entry.was}"
        case Made() if (pids := removal.residents(Path(entry.path), entry.id)) is not None:
            killed = f", killing {', '.join(map(procfs.doing, pids))}" if pids else ""
            return f"remove {entry.path}{killed}"
        case Making() if Path(entry.path).is_dir():
            return f"remove {entry.path} if it is empty"
    return ""


def _rmdir_empty(path: Path) -> bool:
    """Remove a cgroup whose id was not recorded; if it is in use, it may not be oomctl's."""
    try:
        with directory.opened(path.parent) as at:
            os.rmdir(path.name, dir_fd=at)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OomctlError(
            f"cannot remove the cgroup {path}: {error.strerror}; it may not be oomctl's",
            "look at it, and remove it with rmdir",
        ) from error
    return True
