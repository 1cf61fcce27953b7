"""The folder of the journals: opened once, checked, and then used by its descriptor.

Root acts on what a journal says, so no other user may be able to put one there: only we can write
to the folder, and no other user can replace it or a folder above it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.files.directory import PATH_ONLY, READABLE, step

ENV = "OOMCTL_RUN_DIR"
SUFFIX = ".journal"
_USUAL = "/run/oomctl"
_REMOVE = "remove it"
_LINKS = 40
"""How many symbolic links the kernel follows in a path (MAXSYMLINKS)."""


def folder() -> Path:
    """Return the path of the folder of the journals."""
    return Path(os.environ.get(ENV) or _USUAL).absolute()


@dataclass(frozen=True)
class JournalFolder:
    """The open folder: its path for messages, and its descriptor to work with."""

    path: Path
    fd: int

    def names(self) -> list[str]:
        """Return the names of all journals in it, the last written first."""
        with os.scandir(self.fd) as entries:
            found = [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
        return sorted(found, key=self._written, reverse=True)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open a file in it, never through a link."""
        return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=self.fd)

    def read(self, name: str) -> int:
        """Open a journal for reading; OomctlError if another user may have written it."""
        fd = self.open(name, os.O_RDONLY | os.O_NONBLOCK)
        if why := _fault_of_file(os.fstat(fd)):
            os.close(fd)
            raise OomctlError(
                f"the journal {self.path / name}: {why}", "look at it, then remove it"
            )
        return fd

    def remove(self, name: str) -> None:
        """Remove a file in it, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def _written(self, name: str) -> int:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:  # its owner has just ended
            return 0


@contextmanager
def opened() -> Iterator[JournalFolder | None]:
    """Open the folder for the time of the block; None if it does not exist.

    Raises UnsupportedError if it cannot be read, or if other users could have written to it.
    """
    path = folder()
    try:
        fd = _open(path, make=False)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        raise _not_ours(path, error.strerror or str(error), "run it as root") from error
    try:
        yield JournalFolder(path, fd)
    finally:
        os.close(fd)


def made() -> JournalFolder:
    """Open the folder, after making it if needed; the caller closes its descriptor.

    Raises UnsupportedError if it cannot be made, or if other users could write to it.
    """
    path = folder()
    try:
        return JournalFolder(path, _open(path, make=True))
    except OSError as error:
        raise no_room(path, error) from error


def no_room(path: Path, error: OSError) -> OomctlError:
    """Return the error for a journal that could not be written."""
    why = f"cannot write the journal {path}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OomctlError(why, f"make room there, or name another folder in {ENV}")
    return UnsupportedError(why, f"name a folder that root can write to in {ENV}")


def _open(path: Path, *, make: bool) -> int:
    """Walk to the folder; links above it are followed if only root or we can change them.

    A fault above it is raised once the folder is found, or before anything is made.
    """
    ahead, links, fault = list(path.parts[1:]), 0, None
    at, reached = os.open(path.root, PATH_ONLY), Path(path.root)
    try:
        while ahead:
            fault = fault or _fault_of_parent(os.fstat(at), reached)
            name = ahead.pop(0)
            found = _lstat(name, at)
            if found is None and make:
                _require_safe(path, fault)
                with suppress(FileExistsError):  # by another oomctl
                    os.mkdir(name, 0o700, dir_fd=at)
            elif found and stat.S_ISLNK(found.st_mode) and ahead:
                fault = fault or _fault_of_owner(found, reached / name)
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = Path(os.readlink(name, dir_fd=at))
                ahead = [*target.parts[bool(target.root) :], *ahead]
                if target.root:
                    at, reached = step(target.root, at), Path(target.root)
                continue
            elif found and not stat.S_ISDIR(found.st_mode):
                if ahead:
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                raise _not_ours(path, "is not a folder", _REMOVE)
            at, reached = step(name, at), reached / name
        _require_safe(path, fault)
        last = os.fstat(at)
        if last.st_uid != os.geteuid():
            raise _not_ours(path, f"belongs to user {last.st_uid}", "run it as that user")
        if last.st_mode & 0o022:
            raise _not_ours(path, "users other than its owner may write there", _REMOVE)
        at = step(".", at, READABLE)
    except BaseException:
        os.close(at)
        raise
    return at


def _lstat(name: str, at: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _fault_of_parent(found: os.stat_result, path: Path) -> str:
    """Return how another user could replace a folder in this one; empty if none could."""
    if why := _fault_of_owner(found, path):
        return why
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        return f"users other than its owner may write to {path}, which it is in"
    return ""


def _fault_of_owner(found: os.stat_result, path: Path) -> str:
    if found.st_uid not in (0, os.geteuid()):
        return f"{path}, which it is in, belongs to user {found.st_uid}"
    return ""


def _fault_of_file(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & 0o022:
        return "users other than its owner may write to it"
    if found.st_nlink > 1:
        return "it has another name too"
    return ""


def _require_safe(path: Path, fault: str | None) -> None:
    if fault:
        raise _not_ours(path, fault)


def _not_ours(path: Path, why: str, cure: str = "") -> UnsupportedError:
    other = f"name another in {ENV}"
    if cure == _REMOVE and str(path) != _USUAL:  # one that the user named may be anything
        cure = ""
    return UnsupportedError(
        f"the folder of oomctl's journals, {path}: {why}", f"{cure}, or {other}" if cure else other
    )
