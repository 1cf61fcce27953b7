"""Hogs that cannot be: keys of another kind, names twice, processes in inner cgroups. Pure."""

from collections.abc import Iterator

from oomctl.oom.plan import Kind
from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Layout, Member
from oomctl.scenario.model import Hog
from oomctl.scenario.names import parent
from oomctl.scenario.words import Path, instead

_ANONYMOUS: tuple[Kind, ...] = (
    *("anon", "mlock", "threads", "forker", "shared", "stopped", "traced"),
)
KINDS_OF: dict[str, tuple[Kind, ...]] = {
    "thp": _ANONYMOUS,
    "working_set": (*_ANONYMOUS, "file", "shmem", "hugetlb"),
    "tasks": ("threads", "forker"),
    "sharer": ("shared",),
    "hold": ("traced",),
    "path": ("file",),
}
"""The keys that not every kind of hog has, and whose they are."""


def kind_faults(name: str, hog: Hog) -> Iterator[Fault]:
    """Yield the keys that belong to another kind of hog, and those that this kind lacks."""
    kind: Path = ("hog", name, "kind")
    for key, kinds in KINDS_OF.items():
        value = getattr(hog, key)
        if value is not None and value is not False and hog.kind not in kinds:
            yield Fault(
                ("hog", name, key),
                f"a hog of kind '{hog.kind}' has no {key}",
                f"leave it out; {key} is for {', '.join(kinds)}",
                rests_on=(kind,),
            )
    if hog.kind == "shared" and hog.sharer is None:
        yield Fault(
            ("hog", name, "sharer"),
            "is missing",
            "name the cgroup of the process that shares the memory",
        )


def name_faults(layout: Layout) -> Iterator[Fault]:
    """Yield names that two hogs have, or that are longer than the kernel's."""
    seen: dict[str, Member] = {}
    for member in layout.members:
        path: Path = ("hog", member.entry)
        if other := seen.get(member.name):
            yield Fault(
                path,
                f"two hogs are named '{member.name}'",
                f"the other one is of hog.{other.entry}; rename one",
            )
        seen[member.name] = member
    longest = {member.entry: member for member in layout.members}
    for family, member in longest.items():
        if len(member.name) > 15 and member.table.comm is None:
            yield Fault(
                ("hog", family),
                f"'{member.name}' is longer than a comm (15 bytes)",
                "shorten the name, or give a comm",
                rests_on=(("hog", family, "comm"),),
            )


def place_faults(layout: Layout) -> Iterator[Fault]:
    """Yield hogs in cgroups that are not there, or that may hold no process."""
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
                f"'{other.cgroup}' is the leaf of hog.{other.entry}, and the kernel allows "
                "processes in leaves only",
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
        yield Fault(
            path,
            f"'{cgroup}' has child cgroups, and the kernel allows processes in leaves only",
            f"{own}name a leaf",
        )


def _unknown(layout: Layout, path: Path, cgroup: str) -> Iterator[Fault]:
    if cgroup not in layout.cgroups:
        yield Fault(
            path,
            f"there is no cgroup '{cgroup}' in this scenario",
            instead(cgroup, layout.cgroups),
            rests_on=(("cgroup", cgroup),),
        )
