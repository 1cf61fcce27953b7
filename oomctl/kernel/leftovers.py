"""Cleans up after a process of oomctl that was killed before it could do so itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oomctl import journal, talk
from oomctl.errors import OomctlError
from oomctl.journal import Changed, Entry, Made, Making
from oomctl.kernel import procfs, removal
from oomctl.kernel.changed import put_back, stands
from oomctl.kernel.journal import abandoned, boot, journals

_UNKNOWN = "an unknown process"


@dataclass
class Leftovers:
    """What one process left behind: what was done about it, and what could not be."""

    owner: str
    done: list[str] = field(default_factory=list)
    failed: list[OomctlError] = field(default_factory=list)


def clean_up(*, really: bool = True) -> Iterator[Leftovers]:
    """Undo what each journal without an owner tells of, and remove it if nothing is left.

    Without `really` it only says what would be done. Raises UnsupportedError where the journals
    cannot be read.
    """
    for path in journals():
        try:
            with abandoned(path) as text:
                found = None if text is None else _undo_all(path, text, really)
        except OomctlError as error:
            found = Leftovers(_UNKNOWN, failed=[error])
        if found:
            yield found


def sweep() -> None:
    """Clean up before something new is made; a line on stderr for each process that left things."""
    for found in clean_up():
        if found.done:
            talk.note(f"cleaned up after {found.owner}: {', '.join(found.done)}")
        for failure in found.failed:
            talk.note(f"still there after {found.owner}: {failure}")


def _undo_all(path: Path, text: bytes, really: bool) -> Leftovers:
    try:
        owner, entries = journal.read(text)
    except ValueError as error:
        what = OomctlError(
            f"{path} is no journal of oomctl's: {error}", f"look at it, then rm {path}"
        )
        return Leftovers(_UNKNOWN, failed=[what])
    found = Leftovers(f"oomctl (pid {owner.pid})" if owner else "oomctl")
    # cgroup ids begin again with each boot, which leaves nothing to be undone anyway
    todo = journal.to_undo(entries) if owner and owner.boot == boot() else iter(())
    for entry in todo:
        try:
            if did := (_undo if really else _would_undo)(entry):
                found.done.append(did)
        except OomctlError as error:
            found.failed.append(error)
        except OSError as error:
            found.failed.append(OomctlError(f"cannot look at {error.filename}: {error.strerror}"))
    if really and not found.failed:
        path.unlink(missing_ok=True)
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
        case Changed() if stands(entry):
            return f"put {entry.path} back from {entry.wrote} to {entry.was}"
        case Made() if (pids := removal.residents(Path(entry.path), entry.id)) is not None:
            killed = f", killing {', '.join(map(procfs.doing, pids))}" if pids else ""
            return f"remove {entry.path}{killed}"
        case Making() if Path(entry.path).is_dir():
            return f"remove {entry.path} if it is empty"
    return ""


def _rmdir_empty(path: Path) -> bool:
    """Remove a cgroup whose id was never known; it may be another's if there is anything in it."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OomctlError(
            f"cannot remove the cgroup {path}: {error.strerror}; it may not be oomctl's",
            "look at it, and remove it with rmdir",
        ) from error
    return True
