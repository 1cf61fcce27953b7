"""The folder for what is dear to make and safe to lose: kernels, built modules, probe results."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from oomctl.errors import OomctlError


def place(*parts: str) -> Path:
    """Return where `parts` of the cache are, or would be."""
    return _root().joinpath(*parts)


def folder(*parts: str) -> Path:
    """Return the folder `parts` of the cache, created; OomctlError where that fails."""
    path = place(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OomctlError(
            f"cannot make the cache folder {path}: {error.strerror}",
            "point OOMCTL_CACHE at a folder that can be written",
        ) from error
    return path


@contextlib.contextmanager
def locked(*parts: str) -> Iterator[None]:
    """Keep a second oomctl out of `folder(*parts)` for the time of a `with` block."""
    with (folder(*parts) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _root() -> Path:
    """Take $OOMCTL_CACHE, else what XDG says."""
    own = os.environ.get("OOMCTL_CACHE")
    if own:
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "oomctl"
