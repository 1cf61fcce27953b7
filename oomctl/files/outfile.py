"""Files that the user names to be written: whole or not at all, and no other file is replaced."""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from oomctl.files import descriptor
from oomctl.signals import signals_blocked

PATIENCE = 5.0
"""Seconds that a named pipe may be without a reader."""

_DENIED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENOTSUP, errno.ENOENT}
)
"""Errnos for which a file is written in place: a new one beside it cannot be made."""


Data = bytes | IO[bytes]
"""What is written: bytes, or all of a file that can be read again."""
_PIECE = 1 << 20


class OutFile(Protocol):
    """The file that data is written to."""

    def write(self, data: Data) -> None:
        """Write all of it; OSError if that fails."""

    def is_at(self, found: os.stat_result) -> bool:
        """Return whether it is that file."""


@contextmanager
def open_output(path: Path) -> Iterator[OutFile]:
    """Open a file for writing in the way that suits its kind; OSError if it cannot be written.

    A regular file is replaced by one with the same owner, mode and attributes. It is written in
    place if it has other names, or if no file can be made beside it. A link is followed. Pipes,
    terminals and descriptors in /proc/PID/fd are written through.
    """
    with ExitStack() as stack:
        link = descriptor.link_of(path)
        yield _linked(link, stack) if link else _found(path, stack)


def _linked(link: Path, stack: ExitStack) -> OutFile:
    number = descriptor.own(link)
    if number is None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(link, flags)
        os.set_blocking(fd, True)
    elif fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "is not open for writing")
    else:
        fd = os.dup(number)  # with its offset, and O_APPEND if it has that
    stack.callback(os.close, fd)
    return _Stream(fd)


def _found(path: Path, stack: ExitStack) -> OutFile:
    try:
        pinned = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        whole = _Whole(*_place(os.path.realpath(path), stack), None)  # a dangling link: its target
        whole.try_out()
        return whole
    stack.callback(os.close, pinned)
    kind = stat.S_IFMT(os.fstat(pinned).st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if kind == stat.S_IFSOCK:
        raise OSError(errno.EINVAL, "is a socket")
    if kind == stat.S_IFBLK:
        raise OSError(errno.EINVAL, "is a block device")
    itself = f"/proc/self/fd/{pinned}"
    if kind == stat.S_IFREG:
        fd = os.open(itself, os.O_WRONLY | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        return _regular(fd, str(Path(itself).readlink()), stack)
    fd = _open_waiting(itself, kind)
    stack.callback(os.close, fd)
    os.set_blocking(fd, True)
    return _Stream(fd)


def _open_waiting(name: str, kind: int) -> int:
    """Open a pipe or a device for writing; wait some seconds for the reader of a pipe."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if not stat.S_ISFIFO(kind):  # /dev/tty of a process without a terminal
                raise OSError(errno.ENODEV, "is a device that does not exist") from None
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, "is a pipe without a reader") from None
        time.sleep(0.02)


def _regular(fd: int, name: str, stack: ExitStack) -> OutFile:
    found = os.fstat(fd)
    try:
        whole = _Whole(*_place(name, stack), fd)
        if found.st_nlink == 1 and whole.is_at(found):
            whole.try_out()
            return whole
    except OSError as error:
        if error.errno not in _DENIED:
            raise
    return _InPlace(fd)


def _place(name: str, stack: ExitStack) -> tuple[int, str]:
    """Return the descriptor of the folder of a file, and the name in it."""
    folder, name = os.path.split(name)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd, name


@dataclass(frozen=True)
class _Stream:
    fd: int

    def write(self, data: Data) -> None:
        _write_all(self.fd, data)

    def is_at(self, found: os.stat_result) -> bool:
        return os.path.samestat(os.fstat(self.fd), found)


@dataclass(frozen=True)
class _InPlace(_Stream):
    def write(self, data: Data) -> None:
        with signals_blocked():
            if not os.fstat(self.fd).st_nlink:
                raise OSError(errno.ENOENT, "was removed in the meantime")
            os.lseek(self.fd, 0, os.SEEK_SET)
            _write_all(self.fd, data)
            os.ftruncate(self.fd, os.lseek(self.fd, 0, os.SEEK_CUR))
            _settle(self.fd)


@dataclass(frozen=True)
class _Whole:
    """A name in a folder; `old` is the descriptor of the file to replace, if there is one."""

    folder: int
    name: str
    old: int | None

    def try_out(self) -> None:
        """Raise OSError if no file like the old one can be made in this folder."""
        with signals_blocked(), self._temporary():
            pass

    def write(self, data: Data) -> None:
        with signals_blocked():
            try:
                with self._temporary() as (fd, temporary):
                    _write_all(fd, data)
                    _settle(fd)
                    self._require_regular()
                    os.rename(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            except OSError as error:
                if self.old is None or error.errno not in _DENIED:
                    raise
                _InPlace(self.old).write(data)  # a mount point, or a folder with the sticky bit

    def is_at(self, found: os.stat_result) -> bool:
        now = self._now()
        return now is not None and os.path.samestat(now, found)

    def _now(self) -> os.stat_result | None:
        with suppress(FileNotFoundError):
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        return None

    def _require_regular(self) -> None:
        now = self._now()
        if now is not None and not stat.S_ISREG(now.st_mode):
            raise OSError(errno.EEXIST, "is not a regular file any more")

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        name = f".oomctl-{os.getpid()}-{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o666 if self.old is None else 0o600
        fd = os.open(name, flags, mode, dir_fd=self.folder)
        try:
            if self.old is not None:
                _make_alike(self.old, fd)
            yield fd, name
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.folder)


def _make_alike(old: int, new: int) -> None:
    """Copy the owner, the mode and the extended attributes of a file, which include its ACLs."""
    was, made = os.fstat(old), os.fstat(new)
    if (was.st_uid, was.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(new, was.st_uid, was.st_gid)
    os.fchmod(new, stat.S_IMODE(was.st_mode))
    wanted, given = _attributes(old), _attributes(new)
    for name in given.keys() - wanted.keys():
        os.removexattr(new, name)
    for name, value in wanted.items():
        if given.get(name) != value:
            os.setxattr(new, name, value)


def _attributes(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _settle(fd: int) -> None:
    """Raise the errors that a full disk, a quota or a server reports late, some only at close()."""
    os.fsync(fd)
    os.close(os.dup(fd))


def _write_all(fd: int, data: Data) -> None:
    if not isinstance(data, bytes):
        data.seek(0)
        while piece := data.read(_PIECE):
            _write_all(fd, piece)
        return
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
