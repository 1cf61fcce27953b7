"""Parsers of the small texts in /proc and /sys that several checks read. Pure."""

import re
from dataclasses import dataclass


def chosen(text: str) -> str:
    """Return the bracketed one of several words ("always [madvise] never"), else the text."""
    found = re.search(r"\[([^\]]*)\]", text)
    return found[1] if found else text


@dataclass(frozen=True)
class Swap:
    """One line of /proc/swaps; sizes in bytes."""

    path: str
    size: int
    used: int


def parse_swaps(text: str) -> list[Swap]:
    """Return the swap areas in the text of /proc/swaps; ValueError where it is none."""
    swaps = []
    for line in text.splitlines()[1:]:
        # blanks in a path are written as \040 (mm/swapfile.c, swap_show)
        path, _kind, size, used, _priority = line.split()
        swaps.append(Swap(path, int(size) << 10, int(used) << 10))
    return swaps
