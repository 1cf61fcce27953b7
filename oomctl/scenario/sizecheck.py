"""Sizes that cannot be: hogs beyond their limit or the machine, senseless protections. Pure."""

from collections.abc import Iterator

from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Member
from oomctl.scenario.sizes import Sizes
from oomctl.scenario.values import Percent
from oomctl.scenario.words import Path
from oomctl.units import format_size

MAY_FAIL = ", or say may_fail = true"


def size_faults(sizes: Sizes) -> Iterator[Fault]:
    """Yield hogs that the machine has no room for, and working sets larger than their hog."""
    hogs = [(member, sizes.hog(member)) for member in sizes.layout.members]
    for member, size in hogs:
        path: Path = ("hog", member.family, "working_set")
        part = member.entry.working_set
        if isinstance(part, Percent) and part.value > 100:
            yield Fault(path, f"{part} is more than the hog has", "100% at most")
        elif isinstance(part, int) and size is not None and part > size:
            yield Fault(
                path,
                f"{format_size(part)} is more than the {format_size(size)} of the hog",
                "make it smaller, or a share such as '50%'",
                rests_on=((*path[:2], "size"),),
            )
    if sizes.memory is not None:
        yield from _no_room(sizes, [(m, size) for m, size in hogs if size and not m.entry.may_fail])


def _no_room(sizes: Sizes, hogs: list[tuple[Member, int]]) -> Iterator[Fault]:
    memory = sizes.memory or 0
    has = f"but this machine has {format_size(memory)}"
    hint = f"make {{}} smaller{MAY_FAIL}"
    large = {member.family: size for member, size in hogs if size >= memory}
    for family, size in large.items():
        what = f"hog '{family}' wants {format_size(size)} {has}"
        yield Fault(("hog", family, "size"), what, hint.format("it"))
    wanted = sum(size for _, size in hogs)
    if hogs and not large and wanted >= memory:
        what = f"the hogs want {format_size(wanted)} {has}"
        yield Fault(("hog",), what, hint.format("them"))


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
        if member.entry.kind != "hugetlb" and not member.entry.may_fail
        if (size := sizes.hog(member))
    ]
    key: Path = ("cgroup", cgroup, "memory", "max")
    is_ = f"but memory.max of '{cgroup}' is {format_size(limit)}"
    hint = f"the limit would kill {{0}} before the declaration; raise it or shrink {{0}}{MAY_FAIL}"
    rests_on: dict[str, tuple[Path, ...]] = {
        member.family: tuple(("hog", member.family, each) for each in ("cgroup", "may_fail"))
        for member, _ in hogs
    }
    large = {member.family: size for member, size in hogs if size > limit}
    for family, size in large.items():
        what = f"hog '{family}' wants {format_size(size)} {is_}"
        yield Fault(
            ("hog", family, "size"), what, hint.format("it"), rests_on=(key, *rests_on[family])
        )
    wanted = sum(size for _, size in hogs)
    if hogs and not large and wanted >= limit:
        yield Fault(
            key,
            f"the hogs want {format_size(wanted)} {is_}",
            hint.format("them"),
            rests_on=tuple(path for each in rests_on.values() for path in each),
        )


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
