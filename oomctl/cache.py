"""The folder for files that are slow to make and safe to lose: kernels, modules, probe results."""

import contextlib
import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from oomctl import console
from oomctl.errors import OomctlError
from oomctl.units import format_size

_SILENT, _PAUSE, _REMOVAL = 1.0, 0.05, 2.0
"""Seconds before a wait is announced, between two tries, and for the removal of a folder."""
_SHOWN = 200
_ELSEWHERE = "free some space, or point OOMCTL_CACHE at another folder"


def place(*parts: str) -> Path:
    """Return the path of `parts` in the cache, which may not exist."""
    return _root().joinpath(*parts)


def folder(*parts: str) -> Path:
    """Return the folder `parts` in the cache after creating it; OomctlError if that fails."""
    path = place(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OomctlError(
            f"cannot make the cache folder {path}: {error.strerror}",
            "point OOMCTL_CACHE at a folder that can be written",
        ) from error
    return path


def require_space(needed: int, doing: str) -> None:
    """Raise OomctlError unless the cache's file system has this many bytes free."""
    path = folder()
    free = shutil.disk_usage(path).free
    if free < needed:
        raise OomctlError(
            f"{doing} needs {format_size(needed)} below {path}, and {format_size(free)} are free",
            _ELSEWHERE,
        )


@contextlib.contextmanager
def in_use(path: Path) -> Iterator[bool]:
    """Protect a folder of the cache from removal for the time of a `with` block.

    Yields False if it does not exist, or was just removed. Others may use it at the same time.
    """
    with _opened(path) as fd:
        if fd is not None and not _lock(fd, fcntl.LOCK_SH):
            fd = None  # an exclusive lock: it is being removed
        yield fd is not None and _still(path, fd)


def is_in_use(path: Path) -> bool:
    """Return whether a folder of the cache is in use, or just being removed."""
    with _opened(path) as fd:
        return fd is not None and not _lock(fd, fcntl.LOCK_EX)


def remove_unused(path: Path) -> bool:
    """Remove a folder unless it is in use; return whether it is gone."""
    with _opened(path) as fd:
        if fd is None:
            return True
        if not _lock(fd, fcntl.LOCK_EX):
            return False
        scrap = folder("scratch") / f"old-{os.urandom(8).hex()}"
        try:
            path.rename(scrap)  # at once: a kill from here on leaves no half of it there
        except FileNotFoundError:  # its user has just removed it
            return True
        except OSError:  # the cache is spread over file systems
            scrap = path
        shutil.rmtree(scrap, ignore_errors=True)
        return True


@contextlib.contextmanager
def locked(*parts: str, doing: str, patience: float) -> Iterator[None]:
    """Keep a second oomctl out of `folder(*parts)` for the time of a `with` block.

    An oomctl that waits shows `doing`; after `patience` seconds it raises OomctlError.
    """
    path = folder(*parts) / "lock"
    with path.open("a+") as lock:
        _wait(lock, path, patience)
        with contextlib.suppress(OSError):  # on a full disk only the note for others is missing
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), f"pid {os.getpid()}, {doing}".encode())
        try:
            yield
        finally:
            os.ftruncate(lock.fileno(), 0)


def _wait(lock: IO[str], path: Path, patience: float) -> None:
    began, announced = time.monotonic(), False
    while not _lock(lock.fileno(), fcntl.LOCK_EX):
        waited = time.monotonic() - began
        lock.seek(0)
        holder = lock.read(_SHOWN) or "whose pid is not known yet"
        if waited > patience:
            raise OomctlError(
                f"another oomctl ({holder}) has held {path} for {waited:.0f} s",
                f"see what it does (`fuser -v {shlex.quote(str(path))}`), then try again",
            )
        if waited > _SILENT and not announced:
            console.note(f"waits for another oomctl ({holder})")
            announced = True
        time.sleep(_PAUSE)


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Yield a new folder for the time of a `with` block; first remove those of killed oomctls.

    Each is `in_use()` by the oomctl that made it.
    """
    with locked("scratch", doing="making a folder", patience=60):
        for left in folder("scratch").glob("*/"):
            remove_unused(left)
        try:
            from tempfile import mkdtemp  # it draws in random and hashlib, which few commands need

            made = Path(mkdtemp(prefix=prefix, dir=folder("scratch")))
        except OSError as error:
            raise OomctlError(
                f"cannot make a folder in {folder('scratch')}: {error.strerror}", _ELSEWHERE
            ) from error
        using = contextlib.ExitStack()
        using.enter_context(in_use(made))
    with using:
        try:
            yield made
        finally:
            _remove(made)


def _remove(path: Path) -> None:
    """Remove a folder, into which a program that was just killed may still write for a moment."""
    end = time.monotonic() + _REMOVAL
    while True:
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists() or time.monotonic() > end:
            return
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a folder; None if it does not exist."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still(path: Path, fd: int) -> bool:
    """Return whether a folder is still the one that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _root() -> Path:
    """Return $OOMCTL_CACHE, else the folder of the XDG Base Directory Specification."""
    own = os.environ.get("OOMCTL_CACHE")
    if own:
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "oomctl"
