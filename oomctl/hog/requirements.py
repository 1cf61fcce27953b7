"""What the machine must have before hogs are started."""

from collections.abc import Sequence
from pathlib import Path

import psutil

from oomctl.errors import UnsupportedError
from oomctl.oom.plan import Hog
from oomctl.proc import openfiles
from oomctl.text import counted
from oomctl.units import format_size

_NO_RAM = frozenset({"file", "hugetlb"})
"""Kinds that need no free memory: page cache is reclaimed, huge pages are reserved already."""

_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def require_memory(hogs: Sequence[Hog]) -> None:
    """Raise UnsupportedError if the hogs that must be filled need more memory than is available."""
    wanted = sum(hog.size for hog in hogs if hog.kind not in _NO_RAM and not hog.may_fail)
    available = psutil.virtual_memory().available
    if wanted > available:
        raise UnsupportedError(
            f"the hogs need {format_size(wanted)}, this machine has {format_size(available)} left",
            "ask for less; otherwise the machine runs out of memory before the call",
        )


def require_files(hogs: Sequence[Hog]) -> None:
    """Raise the limit of open files; UnsupportedError if it is too low for so many hogs."""
    wanted, limit = openfiles.OWN + openfiles.PER_HOG * len(hogs), openfiles.raise_limit()
    if 0 <= limit < wanted:
        raise UnsupportedError(
            f"{counted(len(hogs), 'hog')} take {wanted} open files, and oomctl may have {limit}",
            f"ulimit -n {wanted}, or ask for less",
        )


def require_thp(hogs: Sequence[Hog]) -> None:
    """Raise UnsupportedError if a hog needs huge pages (THP) and they are disabled."""
    names = [hog.name for hog in hogs if hog.thp]
    if names and (not _THP.exists() or "[never]" in _THP.read_text()):
        raise UnsupportedError(
            f"the hog '{names[0]}' needs transparent huge pages, which are disabled in this kernel",
            f"enable them with `echo madvise >{_THP}`, or leave out thp",
        )
