"""Faults of [hog]: keys of another kind, names twice, places without room. Pure."""

from collections.abc import Iterator, Sequence

from oomctl.oom.plan import HogKind
from oomctl.scenario.fault import Fault, Path, instead
from oomctl.scenario.layout import Layout, Member
from oomctl.scenario.model import Hog
from oomctl.scenario.names import parent
from oomctl.units import format_size

_ANONYMOUS: tuple[HogKind, ...] = (
    *("anon", "mlock", "threads", "forker", "shared", "stopped", "traced"),
)
KINDS_OF: dict[str, tuple[HogKind, ...]] = {
    "thp": _ANONYMOUS,
    "working_set": (*_ANONYMOUS, "file", "shmem", "hugetlb"),
    "tasks": ("threads", "forker"),
    "leader_exits": ("threads",),
    "sharer": ("shared",),
    "hold": ("traced",),
    "path": ("file",),
}
"""The keys that only some kinds of hogs have, and those kinds."""
MAY_FAIL = ", or write may_fail = true"
_LEAVES = "and the kernel allows processes in leaves only"
_MOST_NAMED = 4
"""Hogs that a fault of many hogs names."""

Sizes = Sequence[tuple[Member, int]]


def hog_faults(layout: Layout) -> Iterator[Fault]:
    """Yield keys of another kind of hog, keys that are missing, and names."""
    for name, hog in layout.file.hog.items():
        yield from _kind_faults(("hog", name), hog)
    seen: dict[str, Member] = {}
    for member in layout.members:
        path: Path = ("hog", member.entry)
        if other := seen.get(member.name):
            hint = f"the other one is of hog.{other.entry}; rename one"
            yield Fault(path, f"two hogs are named '{member.name}'", hint)
        seen[member.name] = member
    for member in {member.entry: member for member in layout.members}.values():
        if len(member.name) > 15 and member.table.comm is None:
            yield Fault(
                ("hog", member.entry),
                f"'{member.name}' is longer than a comm (15 bytes)",
                "shorten the name, or give a comm",
                rests_on=(("hog", member.entry, "comm"),),
            )


def _kind_faults(path: Path, hog: Hog) -> Iterator[Fault]:
    for key, kinds in KINDS_OF.items():
        value = getattr(hog, key)
        if value is not None and value is not False and hog.kind not in kinds:
            yield Fault(
                (*path, key),
                f"a hog of kind '{hog.kind}' has no {key}",
                f"leave it out; {key} is for {', '.join(kinds)}",
                rests_on=((*path, "kind"),),
            )
    if hog.kind == "shared" and hog.sharer is None:
        hint = "name the cgroup of the process that shares the memory"
        yield Fault((*path, "sharer"), "is missing", hint)


def place_faults(layout: Layout) -> Iterator[Fault]:
    """Yield hogs in cgroups that do not exist, or that may hold no process."""
    leaves = {member.cgroup: member for member in layout.members if member.leaf}
    for member in layout.members:
        key: Path = ("hog", member.entry, "cgroup")
        if member.leaf and member.cgroup in layout.declared:
            yield Fault(
                key,
                f"its own leaf would be '{member.cgroup}', which is a cgroup of the scenario",
                f"write cgroup = '{member.cgroup}' to live there, or rename one of them",
            )
        elif member.leaf and (other := leaves.get(parent(member.cgroup))):
            yield Fault(
                key,
                f"'{other.cgroup}' is the leaf of hog.{other.entry}, {_LEAVES}",
                f"write cgroup = '{other.cgroup}' to live there as well, or name another",
            )
        elif member.leaf:
            yield from _unknown(layout, key, parent(member.cgroup))
        else:
            yield from _no_place(layout, key, member.cgroup)
        if member.table.sharer is not None:
            yield from _no_place(layout, (*key[:2], "sharer"), member.table.sharer)


def _no_place(layout: Layout, path: Path, cgroup: str) -> Iterator[Fault]:
    yield from _unknown(layout, path, cgroup)
    if cgroup in layout.inner:
        own = f"write '{cgroup}/' for a leaf of its own, or " if path[-1] == "cgroup" else ""
        yield Fault(path, f"'{cgroup}' has child cgroups, {_LEAVES}", f"{own}name a leaf")


def _unknown(layout: Layout, path: Path, cgroup: str) -> Iterator[Fault]:
    if cgroup not in layout.cgroups:
        what = f"there is no cgroup '{cgroup}' in this scenario"
        yield Fault(path, what, instead(cgroup, layout.cgroups), (("cgroup", cgroup),))


def room_faults(layout: Layout) -> Iterator[Fault]:
    """Yield working sets larger than their hog, and hogs that the machine has no room for."""
    hogs = [(member, layout.size(member)) for member in layout.members]
    for member, size in hogs:
        part = member.table.working_set
        if isinstance(part, int) and size is not None and part > size:
            yield Fault(
                ("hog", member.entry, "working_set"),
                f"{format_size(part)} is more than the {format_size(size)} of the hog",
                "make it smaller, or a share such as '50%'",
                rests_on=(("hog", member.entry, "size"),),
            )
    if layout.memory is not None:
        sizes = [(member, size) for member, size in hogs if size and not member.table.may_fail]
        yield from _no_room(sizes, layout.memory)


def _no_room(hogs: Sizes, memory: int) -> Iterator[Fault]:
    bound = f"this machine has {format_size(memory)}"
    hint = f"make {{}} smaller{MAY_FAIL}"
    large = {member.entry: size for member, size in hogs if size >= memory}
    wanted = sum(size for _, size in hogs)
    if large:
        yield too_large(large, bound, hint, ("hog",))
    elif hogs and wanted >= memory:
        what = f"the hogs want {format_size(wanted)} but {bound}"
        yield Fault(("hog",), what, hint.format("them"))


def too_large(
    hogs: dict[str, int], bound: str, hint: str, key: Path, rests_on: tuple[Path, ...] = ()
) -> Fault:
    """Return one fault for all entries that are each beyond a bound, which `key` sets."""
    if len(hogs) == 1:
        ((entry, size),) = hogs.items()
        what = f"hog '{entry}' wants {format_size(size)} but {bound}"
        return Fault(("hog", entry, "size"), what, hint.format("it"), rests_on=rests_on)
    named = [f"'{entry}' ({format_size(size)})" for entry, size in hogs.items()]
    if len(named) > _MOST_NAMED:
        named[_MOST_NAMED:] = [f"{len(named) - _MOST_NAMED} more"]
    what = f"the hogs {', '.join(named[:-1])} and {named[-1]} are each too large: {bound}"
    return Fault(key, what, hint.format("them"), rests_on=rests_on)
