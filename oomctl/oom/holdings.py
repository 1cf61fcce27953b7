"""The memory that a hog holds, by the kernel's counters, against its size. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from oomctl.oom.plan import Hog
from oomctl.units import format_size

_HUGE_PAGE = 2 << 20
_FIELDS = {
    "file": "file",
    "shmem": "shmem",
    "hugetlb": "hugetlb",
    "mlock": "locked",
    "pipe": "kernel",
    "socket": "kernel",
    "slab": "kernel",
}
"""The field that a kind of hog fills; of those left out it is `anon`."""
_WORDS = {
    "anon": "anonymous memory",
    "file": "page cache",
    "shmem": "shmem",
    "swap": "swap",
    "hugetlb": "hugetlb pages",
    "locked": "locked memory",
    "kernel": "kernel memory",
}


@dataclass(frozen=True)
class Filled:
    """Bytes that a hog has filled and the nanoseconds that took it.

    `lost_bytes` are those that its rate asked for but that it was too slow for, and never made up.
    """

    bytes: int
    took_ns: int
    lost_bytes: int = 0


@dataclass(frozen=True)
class Holdings:
    """The memory of a hog in bytes; None if unknown.

    `source` "cgroup": as memory.stat counts it, the hog being alone in its cgroup. "process": as
    far as its tasks have it mapped. `file` is page cache without shmem; `swap`, `hugetlb` and
    `locked` are the tasks' own in any case; `slack` is the error of the counters. `differs`
    says how that differs from what was asked for, if it does.
    """

    source: Literal["cgroup", "process"]
    anon: int = 0
    anon_thp: int | None = None
    file: int | None = None
    shmem: int = 0
    swap: int = 0
    hugetlb: int = 0
    locked: int = 0
    kernel: int | None = None
    slab: int | None = None
    sock: int | None = None
    slack: int = 0
    differs: str = ""

    def tree(self) -> dict[str, int | str | None]:
        """Return it as plain values, for JSON."""
        sizes = [
            each.name for each in fields(self) if each.name not in ("source", "slack", "differs")
        ]
        plain = {f"{name}_bytes": getattr(self, name) for name in sizes}
        return {"source": self.source} | plain | {"differs": self.differs or None}


def of_cgroup(stat: Mapping[str, int], own: Holdings, slack: int) -> Holdings:
    """Return what memory.stat counts, with what only the tasks themselves (`own`) tell."""
    return Holdings(
        source="cgroup",
        anon=stat["anon"],
        anon_thp=stat.get("anon_thp"),
        file=stat["file"] - stat["shmem"],
        shmem=stat["shmem"],
        swap=own.swap,
        hugetlb=own.hugetlb,
        locked=own.locked,
        kernel=stat.get("kernel"),
        slab=stat.get("slab"),
        sock=stat.get("sock"),
        slack=slack,
    )


def of_tasks(status: Sequence[Mapping[str, int]], huge: int | None) -> Holdings:
    """Return what tasks with memories of their own hold, by the fields of their /proc/PID/status.

    `huge` are the bytes of it in transparent huge pages.
    """
    total = {key: sum(each.get(key, 0) for each in status) for each in status for key in each}
    return Holdings(
        source="process",
        anon=total.get("RssAnon", 0),
        anon_thp=huge,
        shmem=total.get("RssShmem", 0),
        swap=total.get("VmSwap", 0),
        hugetlb=total.get("HugetlbPages", 0),
        locked=total.get("VmLck", 0),
    )


def compared(holds: Holdings, hog: Hog) -> Holdings:
    """Return the same with how it differs from what the hog is asked to hold."""
    return replace(holds, differs=_unlike(holds, hog))


def _unlike(holds: Holdings, hog: Hog) -> str:
    name = _FIELDS.get(hog.kind, "anon")
    error = hog.size // 10 + holds.slack
    if (held := getattr(holds, name)) is None:
        return ""
    if held < hog.size - error:
        others = [other for other in _WORDS if other not in (name, "locked")]
        parts = [(other, getattr(holds, other) or 0) for other in others]
        told = [(name, held)] + [part for part in parts if part[1] > error]
        said = ", ".join(f"{format_size(part)} of {_WORDS[word]}" for word, part in told)
        return f"holds {said}, not {format_size(hog.size)} of {_WORDS[name]}"
    whole = hog.size // _HUGE_PAGE * _HUGE_PAGE
    if hog.thp and holds.anon_thp is not None and holds.anon_thp < whole - error:
        return f"holds {format_size(holds.anon_thp)} in huge pages, not {format_size(whole)}"
    return ""
