"""Sizes that cannot be: hogs beyond their limit or the machine, senseless protections. Pure."""

from collections.abc import Iterator

from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Member
from oomctl.scenario.sizes import Sizes
from oomctl.scenario.words import Path
from oomctl.units import format_size

MAY_FAIL = ", or say may_fail = true"
_SHOWN = 4
"""Hogs that a fault of many of them names."""


def size_faults(sizes: Sizes) -> Iterator[Fault]:
    """Yield hogs that the machine has no room for, and working sets larger than their hog."""
    hogs = [(member, sizes.hog(member)) for member in sizes.layout.members]
    for member, size in hogs:
        path: Path = ("hog", member.entry, "working_set")
        part = member.table.working_set
        if isinstance(part, int) and size is not None and part > size:
            yield Fault(
                path,
                f"{format_size(part)} is more than the {format_size(size)} of the hog",
                "make it smaller, or a share such as '50%'",
                rests_on=((*path[:2], "size"),),
            )
    if sizes.memory is not None:
        yield from _no_room(sizes, [(m, size) for m, size in hogs if size and not m.table.may_fail])


def _no_room(sizes: Sizes, hogs: list[tuple[Member, int]]) -> Iterator[Fault]:
    memory = sizes.memory or 0
    bound = f"this machine has {format_size(memory)}"
    hint = f"make {{}} smaller{MAY_FAIL}"
    large = {member.entry: size for member, size in hogs if size >= memory}
    wanted = sum(size for _, size in hogs)
    if large:
        yield _too_large(large, bound, hint, ("hog",))
    elif hogs and wanted >= memory:
        what = f"the hogs want {format_size(wanted)} but {bound}"
        yield Fault(("hog",), what, hint.format("them"))


def _too_large(
    hogs: dict[str, int], bound: str, hint: str, key: Path, rests_on: tuple[Path, ...] = ()
) -> Fault:
    """Return one fault for all families that are each beyond a bound, which `key` sets."""
    if len(hogs) == 1:
        ((family, size),) = hogs.items()
        what = f"hog '{family}' wants {format_size(size)} but {bound}"
        return Fault(("hog", family, "size"), what, hint.format("it"), rests_on=rests_on)
    named = [f"'{family}' ({format_size(size)})" for family, size in hogs.items()]
    if len(named) > _SHOWN:
        named[_SHOWN:] = [f"{len(named) - _SHOWN} more"]
    what = f"the hogs {', '.join(named[:-1])} and {named[-1]} are each too large: {bound}"
    return Fault(key, what, hint.format("them"), rests_on=rests_on)


def limit_faults(sizes: Sizes) -> Iterator[Fault]:
    """Yield limits that would be hit before anything is declared."""
    for cgroup in sizes.layout.cgroups:
        limit = sizes.limit(cgroup)
        if limit is not None:
            yield from _too_full(sizes, cgroup, limit)


def _too_full(sizes: Sizes, cgroup: str, limit: int) -> Iterator[Fault]:
    hogs = [
        (member, size)
        for member in sizes.layout.below(cgroup)
        # memory.max does not count huge pages (unless mounted with memory_hugetlb_accounting)
        if member.table.kind != "hugetlb" and not member.table.may_fail
        if (size := sizes.hog(member)) is not None
    ]
    key: Path = ("cgroup", cgroup, "memory", "max")
    bound = f"memory.max of '{cgroup}' is {format_size(limit)}"
    before = " before the declaration" * bool(sizes.layout.file.calls)
    hint = f"the limit would kill {{0}}{before}; raise it or shrink {{0}}{MAY_FAIL}"
    large = {member.entry: size for member, size in hogs if size > limit}
    wanted = sum(size for _, size in hogs)
    rests_on: tuple[Path, ...] = tuple(
        ("hog", family, each)
        for family in large or {member.entry for member, _ in hogs}
        for each in ("cgroup", "may_fail")
    )
    if large:
        yield _too_large(large, bound, hint, key, (key, *rests_on))
    elif hogs and wanted >= limit:
        what = f"the hogs want {format_size(wanted)} but {bound}"
        yield Fault(key, what, hint.format("them"), rests_on=rests_on)


def protection_faults(sizes: Sizes) -> Iterator[Fault]:
    """Yield protections of more than a cgroup may ever use."""
    for cgroup, entry in sizes.layout.file.cgroup.items():
        limit = sizes.limit(cgroup)
        for key in ("min", "low"):
            given = getattr(entry.memory, key)
            size = None if given is None else sizes.setting(cgroup, f"memory.{key}", given)
            if limit is not None and (size == "max" or (isinstance(size, int) and size > limit)):
                shown = format_size(size) if isinstance(size, int) else "max"
                yield Fault(
                    ("cgroup", cgroup, "memory", key),
                    f"{shown} cannot be protected where memory.max is {format_size(limit)}",
                    "lower it, or raise the limit",
                    rests_on=(("cgroup", cgroup, "memory", "max"),),
                )
