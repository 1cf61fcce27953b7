"""The lines of a journal: what a process of oomctl has made or changed and not yet undone. Pure.

The first line names the owner; each other one is written before its action.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import get_type_hints


@dataclass(frozen=True)
class Owner:
    """The process that writes the journal, and the boot of the machine in which it ran.

    Whether it still runs is known by its lock on the file, not by its PID, which may be reused: the
    kernel drops the lock with the last process that inherited it.
    """

    pid: int
    boot: str


@dataclass(frozen=True)
class Making:
    """A cgroup is about to be made at `path`; it stays empty until `Made` is written."""

    path: str


@dataclass(frozen=True)
class Made:
    """The cgroup at `path` is ours while its inode number is `id`."""

    path: str
    id: int


@dataclass(frozen=True)
class Changed:
    """The kernel's file at `path` held `was` and is set to `wrote` for a while.

    `folder` is the inode number of its cgroup, None for a sysctl and a switch of sysfs.
    """

    path: str
    folder: int | None
    was: str
    wrote: str


@dataclass(frozen=True)
class Stays:
    """`wrote` is written to `path` and not undone: others may depend on it."""

    path: str
    wrote: str


Entry = Making | Made | Changed | Stays
_INTERFACE = ("cgroup.", "memory.", "pids.")
_KINDS = {kind.__name__.lower(): kind for kind in (Owner, Making, Made, Changed, Stays)}


def line(entry: Owner | Entry) -> bytes:
    """Return the line of an entry, with its newline."""
    return (
        json.dumps({"kind": type(entry).__name__.lower(), **asdict(entry)}).encode("ascii") + b"\n"
    )


def read(data: bytes) -> tuple[Owner | None, list[Entry]]:
    """Return the owner and the entries; no owner if even the first line is incomplete.

    A last line without its newline was never acted on. Raises ValueError for other text.
    """
    lines = [_entry(text) for text in data.split(b"\n")[:-1]]
    if not lines:
        return None, []
    owner, entries = lines[0], [each for each in lines[1:] if not isinstance(each, Owner)]
    if not isinstance(owner, Owner) or len(entries) < len(lines) - 1:
        raise ValueError("its first line does not name its owner, or another one does")
    return owner, entries


def _entry(text: bytes) -> Owner | Entry:
    try:
        fields = json.loads(text)
    except RecursionError:
        fields = None
    kind = _KINDS.get(str(fields.pop("kind", None))) if isinstance(fields, dict) else None
    if kind is None:
        raise ValueError(f"{text[:40]!r} is not a line of a journal")
    types = get_type_hints(kind)
    if fields.keys() != types.keys() or not all(
        isinstance(fields[key], types[key]) for key in types
    ):
        raise ValueError(f"{text[:40]!r} has other fields than are known")
    path = fields.get("path", "/")
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{text[:40]!r} does not name a file")
    made: Owner | Entry = kind(**fields)
    return made


def belongs(entry: Entry, mounts: Iterable[str], settings: Iterable[str]) -> bool:
    """Return whether the path of an entry suits its kind: a cgroup, a file of one, or a setting.

    `mounts` are the mount points of cgroup v2, `settings` the folders of sysctls and switches.
    """
    path = PurePosixPath(entry.path)
    if str(path) != entry.path or ".." in path.parts:
        return False
    if isinstance(entry, Changed) and entry.folder is None:
        return any(PurePosixPath(each) in path.parents for each in settings)
    if isinstance(entry, Changed | Stays):
        # Stays may name the root itself: +memory in its cgroup.subtree_control
        place = path.parent.parent if isinstance(entry, Changed) else path.parent
        return is_interface_file(path.name) and any(map(place.is_relative_to, mounts))
    return any(map(path.parent.is_relative_to, mounts))


def is_interface_file(name: str) -> bool:
    """Return whether a file is one of a cgroup, by its name."""
    return name.startswith(_INTERFACE)


def tops(made: Iterable[Made]) -> list[Made]:
    """Return the cgroups that are below none of the others: removing them removes all."""
    all_made = list(made)
    paths = {each.path for each in all_made}
    return [each for each in all_made if paths.isdisjoint(_above(each.path))]


def to_undo(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield what must be undone, the last first, without what goes with another entry."""
    made = [each for each in entries if isinstance(each, Made)]
    highest, known = set(tops(made)), {each.path for each in made}
    for each in reversed(entries):
        match each:
            case Changed():
                yield each
            case Made() if each in highest:
                yield each
            case Making(path) if known.isdisjoint((path, *_above(path))):
                yield each


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path
