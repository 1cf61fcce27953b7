"""Faults of [cgroup]: limits that the hogs would hit, protections above the limit. Pure."""

from collections.abc import Iterator

from oomctl.scenario.fault import Fault, Path
from oomctl.scenario.layout import Layout
from oomctl.scenario.rules.hogs import MAY_FAIL, Sizes, too_large
from oomctl.units import format_size

_UNCOUNTED = ("hugetlb", "file")
"""Kinds of hogs that no limit kills.

memory.max does not count huge pages, unless mounted with memory_hugetlb_accounting; pages of files
are reclaimed at the limit.
"""


def limit_faults(layout: Layout) -> Iterator[Fault]:
    """Yield limits that would kill hogs while they fill."""
    for cgroup in layout.cgroups:
        limit = layout.limit(cgroup)
        if limit is not None:
            yield from _too_full(layout, cgroup, limit)


def _too_full(layout: Layout, cgroup: str, limit: int) -> Iterator[Fault]:
    hogs: Sizes = [
        (member, size)
        for member in layout.below(cgroup)
        if member.table.kind not in _UNCOUNTED and not member.table.may_fail
        if member.name not in layout.late
        if (size := layout.size(member)) is not None
    ]
    key: Path = ("cgroup", cgroup, "memory", "max")
    bound = f"memory.max of '{cgroup}' is {format_size(limit)}"
    before = " before the call" * bool(layout.file.calls)
    hint = f"the limit would kill {{0}}{before}; raise it or shrink {{0}}{MAY_FAIL}"
    large = {member.entry: size for member, size in hogs if size > limit}
    wanted = sum(size for _, size in hogs)
    rests_on: tuple[Path, ...] = tuple(
        ("hog", entry, each)
        for entry in large or {member.entry for member, _ in hogs}
        for each in ("cgroup", "may_fail")
    )
    if large:
        yield too_large(large, bound, hint, key, (key, *rests_on))
    elif hogs and wanted >= limit:
        what = f"the hogs want {format_size(wanted)} but {bound}"
        yield Fault(key, what, hint.format("them"), rests_on=rests_on)


def protection_faults(layout: Layout) -> Iterator[Fault]:
    """Yield protections of more than a cgroup may ever use."""
    for cgroup, entry in layout.file.cgroup.items():
        limit = layout.limit(cgroup)
        for key in ("min", "low"):
            given = getattr(entry.memory, key)
            size = None if given is None else layout.setting(cgroup, f"memory.{key}", given)
            if limit is not None and (size == "max" or (isinstance(size, int) and size > limit)):
                shown = format_size(size) if isinstance(size, int) else "max"
                yield Fault(
                    ("cgroup", cgroup, "memory", key),
                    f"{shown} is more than memory.max, which is {format_size(limit)}",
                    "lower it, or raise the limit",
                    rests_on=(("cgroup", cgroup, "memory", "max"),),
                )
