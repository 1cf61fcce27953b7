"""The journal of a running oomctl in /run/oomctl, and the journals whose owner is gone.

/run is a tmpfs: a reboot, which undoes everything anyway, empties it.
"""

import errno
import os
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil

from oomctl.errors import OomctlError
from oomctl.files import descriptor
from oomctl.journal import rundir
from oomctl.journal.entries import Entry, Owner, line, read
from oomctl.journal.rundir import SUFFIX, JournalFolder, no_room

_LARGEST = 1 << 24
_DYING = 5.0
"""Seconds that the children of a killed oomctl may take to end."""


class Journal:
    """The journal of this process, locked while it lives; removed at the end of the block.

    It stays if something could not be undone, for `oomctl clean`.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[Entry, int]] = []
        self._forgotten: Counter[Entry] = Counter()
        self._size = 0

    def __enter__(self) -> Self:
        """Make it; UnsupportedError if it cannot be made, OomctlError if there is no room."""
        self._folder = rundir.made()
        try:
            self._name, self._fd = _create(self._folder)
        except BaseException:
            os.close(self._folder.fd)
            raise
        try:
            self._append(line(Owner(os.getpid(), boot())))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        """Remove it, unless something in it is not undone."""
        if self._lines:
            self._close()
        else:
            self._remove()

    def write(self, entry: Entry) -> None:
        """Write what is about to be done; OomctlError if that fails: then it must not be done."""
        before = self._size
        self._append(line(entry))
        self._lines.append((entry, before))

    def forget(self, *entries: Entry) -> None:
        """Take entries back: they are undone, or not oomctl's any more.

        The file is cut after the last entry that is left, so it does not grow with the rounds.
        """
        self._forgotten.update(entries)
        left, size = len(self._lines), self._size
        while left and self._lines[left - 1][0] in self._forgotten:
            left -= 1
            entry, size = self._lines[left]
            self._forgotten[entry] -= 1
            if not self._forgotten[entry]:
                del self._forgotten[entry]
        os.ftruncate(self._fd, size)
        del self._lines[left:]
        self._size = size

    def others(self) -> Iterator[tuple[int, list[Entry]]]:
        """Yield the PID of the owner and the entries of each other journal."""
        for name in self._folder.names():
            try:
                owner, entries = read(_text(self._folder, name) if name != self._name else b"")
            except (OomctlError, OSError, ValueError):  # not oomctl's, gone, or being written
                continue
            if owner:
                yield owner.pid, entries

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # there is no page for the rest
                os.ftruncate(self._fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise no_room(self._folder.path / self._name, error) from error
        self._size += len(data)

    def _remove(self) -> None:
        try:
            self._folder.remove(self._name)
        finally:
            self._close()

    def _close(self) -> None:
        os.close(self._fd)
        os.close(self._folder.fd)


def boot() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextmanager
def abandoned(folder: JournalFolder, name: str) -> Iterator[bytes | None]:
    """Lock a journal whose owner is gone and yield its text; None if the owner lives.

    Raises OomctlError if it cannot be read, or if another user may have written it.
    """
    path = folder.path / name
    with ExitStack() as stack:
        try:
            fd = folder.read(name)
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


def _text(folder: JournalFolder, name: str) -> bytes:
    fd = folder.read(name)
    try:
        return os.read(fd, _LARGEST)
    finally:
        os.close(fd)


def _lock_of_dead(fd: int, path: Path) -> bool:
    """Take the lock of a journal unless its owner lives; return whether it was taken.

    The children of a killed owner die a moment after it, and hold the lock until then.
    """
    deadline = time.monotonic() + _DYING
    while not descriptor.lock(fd):
        if _owner_lives(fd, path.name):
            return False
        if time.monotonic() > deadline:
            raise OomctlError(
                f"the owner of the journal {path} is gone, but a process that it started lives",
                f"end it (`fuser {shlex.quote(str(path))}` names it), then run `oomctl clean`",
            )
        time.sleep(0.01)
    return True


def _owner_lives(fd: int, name: str) -> bool:
    pid = name.partition("-")[0]
    try:
        owner = psutil.Process(int(pid))
        # if it started after the last line was written, the PID is reused; psutil rounds to seconds
        same = owner.create_time() <= os.fstat(fd).st_mtime + 2
        return same and owner.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def _create(folder: JournalFolder) -> tuple[str, int]:
    """Make a journal and lock it; make another if `abandoned()` has locked it first."""
    while True:
        name = f"{os.getpid()}-{secrets.token_hex(3)}{SUFFIX}"
        try:
            fd = folder.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise no_room(folder.path / name, error) from error
        try:
            # `abandoned()` in another oomctl may have locked it by now, or removed it
            if descriptor.lock(fd) and os.fstat(fd).st_nlink:
                return name, fd
            folder.remove(name)
        except BaseException:
            folder.remove(name)
            os.close(fd)
            raise
        os.close(fd)
