"""The journal of a running oomctl in /run/oomctl, and how those whose owner is gone are found.

/run is a tmpfs, so that nothing is in there that a restart of the machine has not undone.
"""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.journal import Entry, Owner, line, read

_USUAL = "/run/oomctl"
_ENV = "OOMCTL_RUN_DIR"
_SUFFIX = ".journal"
_LARGEST = 1 << 24
_DYING = 5.0
"""Seconds that the children of a killed oomctl may take to end."""


def folder() -> Path:
    """Return where journals are kept."""
    return Path(os.environ.get(_ENV) or _USUAL).absolute()


class Journal:
    """The file of this process, locked as long as it lives; gone when the block is left.

    What could not be undone by then stays in it, for `oomctl clean`.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[Entry, int]] = []
        self._forgotten: list[Entry] = []
        self._size = 0

    def __enter__(self) -> Self:
        """Make it; UnsupportedError where it cannot be made, OomctlError where there is no room."""
        self._path, self._fd = _create(_made_folder())
        try:
            self._append(line(Owner(os.getpid(), boot())))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        """Remove it, unless something in it still stands."""
        if self._lines:
            os.close(self._fd)
        else:
            self._remove()

    def write(self, entry: Entry) -> None:
        """Write what is about to be done; OomctlError where that fails: then do not do it."""
        before = self._size
        self._append(line(entry))
        self._lines.append((entry, before))

    def forget(self, *entries: Entry) -> None:
        """Take back what was written of these: they are undone, or not oomctl's any more.

        The file ends after the last that still stands, so it does not grow with the rounds.
        """
        self._forgotten += entries
        standing = self._lines.copy()
        size = self._size
        while standing and standing[-1][0] in self._forgotten:
            entry, size = standing.pop()
            self._forgotten.remove(entry)
        os.ftruncate(self._fd, size)
        self._lines, self._size = standing, size

    def others(self) -> Iterator[tuple[int, list[Entry]]]:
        """Yield whose the other journals are, by PID, and what stands in them."""
        for path in journals():
            try:
                owner, entries = read(path.read_bytes() if path != self._path else b"")
            except (OSError, ValueError):  # gone, or just being written
                continue
            if owner:
                yield owner.pid, entries

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # the rest needs a page that is not there
                os.ftruncate(self._fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _no_room(self._path, error) from error
        self._size += len(data)

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._fd)


def boot() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextmanager
def abandoned(path: Path) -> Iterator[bytes | None]:
    """Hold a journal whose owner is gone and give its text; None if the owner lives.

    Nobody else can hold it meanwhile. Raises OomctlError where it cannot be read.
    """
    with ExitStack() as stack:
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(path, flags)
            stack.callback(os.close, fd)
            ours = _lock_of_dead(fd, path) and os.fstat(fd).st_nlink
            if ours and os.fstat(fd).st_size > _LARGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            text = os.read(fd, _LARGEST) if ours else None
        except FileNotFoundError:
            text = None
        except OSError as error:
            raise OomctlError(
                f"cannot read the journal {path}: {error.strerror}", "look at it, then remove it"
            ) from error
        yield text


def journals() -> list[Path]:
    """Return the journals of this machine, whoever owns them; who wrote last comes first.

    Raises UnsupportedError where they cannot be read, or where others could have written them.
    """
    where = folder()
    try:
        _require_ours(where)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _not_ours(where, error.strerror or str(error), "run it as root") from error
    return sorted(where.glob(f"*{_SUFFIX}"), key=_written, reverse=True)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # its owner has just ended
        return 0


def _lock_of_dead(fd: int, path: Path) -> bool:
    """Take the lock of a journal unless its owner lives; tell whether that was done.

    A killed owner's children die a moment after it, and hold the lock until then.
    """
    deadline = time.monotonic() + _DYING
    while not _lock(fd):
        if _owner_lives(path):
            return False
        if time.monotonic() > deadline:
            raise OomctlError(
                f"who wrote the journal {path} is gone, but a process that it started is not",
                f"end that (`fuser {path}` names it), then run `oomctl clean`",
            )
        time.sleep(0.01)
    return True


def _owner_lives(path: Path) -> bool:
    pid = path.name.partition("-")[0]
    try:
        owner = psutil.Process(int(pid))
        # one that began after the last line was written has only its PID; psutil rounds to seconds
        same = owner.create_time() <= _written(path) / 1e9 + 2
        return same and owner.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _made_folder() -> Path:
    where = folder()
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_ours(where)
    except OSError as error:
        raise _no_room(where, error) from error
    return where


def _create(where: Path) -> tuple[Path, int]:
    while True:
        path = where / f"{os.getpid()}-{secrets.token_hex(3)}{_SUFFIX}"
        try:
            fd = os.open(
                path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _no_room(path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # who looks for abandoned ones may have taken it away before it was locked
            if os.fstat(fd).st_nlink:
                return path, fd
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(fd)
            raise
        os.close(fd)


def _require_ours(where: Path) -> None:
    """Raise UnsupportedError where others could plant a journal, which root would act on."""
    found = where.lstat()
    if not where.is_dir() or where.is_symlink():
        raise _not_ours(where, "is no folder", "remove it")
    if found.st_uid != os.geteuid():
        raise _not_ours(where, f"belongs to user {found.st_uid}", "run it as that user")
    if found.st_mode & 0o022:
        raise _not_ours(where, "others than its owner may write there", "remove it")


def _not_ours(where: Path, why: str, cure: str) -> UnsupportedError:
    return UnsupportedError(
        f"the folder of oomctl's journals, {where}: {why}", f"{cure}, or name another in {_ENV}"
    )


def _no_room(path: Path, error: OSError) -> OomctlError:
    why = f"cannot write the journal {path}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OomctlError(why, f"make room there, or name another folder in {_ENV}")
    return UnsupportedError(why, f"name a folder that root can write to in {_ENV}")
