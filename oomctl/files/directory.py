"""A directory opened without following symbolic links, to work from its descriptor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open an absolute path, component by component; OSError if one is missing or a link."""
    at = os.open(path.root, PATH_ONLY)
    try:
        for part in path.parts[1:]:
            at = step(part, at)
        at = step(".", at, READABLE)
        yield at
    finally:
        os.close(at)


def step(name: str, at: int, flags: int = PATH_ONLY) -> int:
    """Open a directory in another one, which is closed unless that fails."""
    below = os.open(name, flags, dir_fd=at)
    os.close(at)
    return below
