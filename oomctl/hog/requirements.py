"""What the machine must have before hogs are started."""

from collections.abc import Sequence
from pathlib import Path

import psutil

from oomctl.errors import UnsupportedError
from oomctl.oom.plan import Hog
from oomctl.units import format_size

_NO_RAM = frozenset({"file", "hugetlb"})
"""Kinds that need no free memory: page cache makes room, huge pages are set aside already."""

_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def require_memory(hogs: Sequence[Hog]) -> None:
    """Raise UnsupportedError if hogs that must be filled want more than there is."""
    wanted = sum(hog.size for hog in hogs if hog.kind not in _NO_RAM and not hog.may_fail)
    available = psutil.virtual_memory().available
    if wanted > available:
        raise UnsupportedError(
            f"the hogs want {format_size(wanted)}, this machine has {format_size(available)} left",
            "ask for less, or the machine itself runs out of memory before the declaration",
        )


def require_thp(hogs: Sequence[Hog]) -> None:
    """Raise UnsupportedError if a hog wants huge pages (THP) that the kernel does not give."""
    asking = [hog.name for hog in hogs if hog.thp]
    if asking and (not _THP.exists() or "[never]" in _THP.read_text()):
        raise UnsupportedError(
            f"the hog '{asking[0]}' wants transparent huge pages, which this kernel does not give",
            f"allow them with `echo madvise >{_THP}`, or leave out thp",
        )
