"""Names of files that mean a descriptor which some process has open: /dev/stdout and the like."""

import os
import re
from pathlib import Path

_FOLDER = re.compile(r"/proc/(?P<pid>\d+)(?:/task/\d+)?/fd", re.ASCII)
_MOST_LINKS = 40  # include/linux/namei.h, MAXSYMLINKS


def link_of(path: Path) -> Path | None:
    """Return the /proc/PID/fd/N that a name comes to through any links; None for another file.

    The kernel follows such a link to the open file, which may be a pipe, or have no name any more.
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
    """Return which of our own descriptors a name means, if it means one."""
    link = link_of(path)
    found = link and _FOLDER.fullmatch(str(link.parent))
    if not link or not found or found["pid"] != str(Path("/proc/self").readlink()):
        return None
    return int(link.name) if re.fullmatch(r"\d{1,9}", link.name, re.ASCII) else None
