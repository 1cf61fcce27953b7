"""Open descriptors: the file names that stand for one, such as /dev/stdout, and locks."""

import fcntl
import os
import re
from pathlib import Path
from typing import IO

_FOLDER = re.compile(r"/proc/(?P<pid>\d+)(?:/task/\d+)?/fd", re.ASCII)
_MOST_LINKS = 40  # include/linux/namei.h, MAXSYMLINKS


def link_of(path: Path) -> Path | None:
    """Return the /proc/PID/fd/N that a name leads to through links; None for other files.

    The kernel follows such a link to the open file, which may be a pipe, or removed.
    """
    for _ in range(_MOST_LINKS):
        folder = Path(os.path.realpath(path.parent))
        if _FOLDER.fullmatch(str(folder)):
            return folder / path.name
        try:
            path = folder / (folder / path.name).readlink()
        except OSError:
            return None
    return None


def own(path: Path) -> int | None:
    """Return the descriptor of this process that a name stands for; None for other files."""
    link = link_of(path)
    found = link and _FOLDER.fullmatch(str(link.parent))
    if not link or not found or found["pid"] != str(Path("/proc/self").readlink()):
        return None
    return int(link.name) if re.fullmatch(r"\d{1,9}", link.name, re.ASCII) else None


def lock(file: int | IO[str]) -> bool:
    """Lock a file for this process alone; return whether no other one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
