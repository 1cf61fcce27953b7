"""Files that the user names to be read: opened without a wait for data that nobody will write."""

import errno
import io
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from oomctl.files import descriptor

PATIENCE = 5.0
"""How long a named pipe may be without a writer, in seconds."""


def open_input(path: Path) -> BinaryIO:
    """Open a regular file, a pipe, or with `-` stdin; OSError says why it cannot be read.

    Devices and files of /proc are refused: some never end, some wait, /proc/kmsg is used up.
    """
    number = _stream(path)
    if number is not None:
        with _kept(os.dup(number)) as fd:
            _require(os.fstat(fd), os.isatty(fd), True)
        return io.BufferedReader(_Raw(fd))
    pinned = os.open(path, os.O_PATH | os.O_CLOEXEC)  # unlike a real open this waits for nobody
    try:
        found = os.fstat(pinned)
        _require(found)
        fd = os.open(f"/proc/self/fd/{pinned}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(pinned)
    raw = _Raw(fd)
    file = io.BufferedReader(raw)
    if stat.S_ISFIFO(found.st_mode):
        try:
            _await_writer(raw, file)
        except BaseException:
            file.close()
            raise
    return file


def can_be_read_again(path: Path) -> bool:
    """Tell whether a second open_input() gives the same bytes, unlike that of a pipe."""
    return _stream(path) is None and path.is_file()


class _Raw(io.FileIO):
    """A descriptor that does not wait says so, instead of looking like the end of the file."""

    waiting = False

    def readinto(self, buffer: Any) -> int:
        got = super().readinto(buffer)
        self.waiting = got is None
        if got is None and not stat.S_ISFIFO(os.fstat(self.fileno()).st_mode):
            raise BlockingIOError(errno.EAGAIN, "Has nothing to be read now")
        return got or 0


def _await_writer(raw: _Raw, file: "io.BufferedReader[_Raw]") -> None:
    """Wait for the writer of a named pipe; OSError if none comes. From then on reads may wait.

    fs/pipe.c, pipe_read(): without a writer a pipe that does not wait is at its end, with a silent
    one it is EAGAIN.
    """
    poll = select.poll()
    poll.register(file, select.POLLIN)
    came = poll.poll(PATIENCE * 1000)  # data, or a writer that came and went
    if not file.peek(1) and not raw.waiting and not came:
        raise OSError(errno.EAGAIN, "Is a pipe that nobody writes into")
    os.set_blocking(file.fileno(), True)


def _require(found: os.stat_result, terminal: bool = False, stream: bool = False) -> None:
    """Raise OSError for what has no end or no content of the user's."""
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(mode) and found.st_dev == Path("/proc").stat().st_dev:
        raise OSError(errno.EINVAL, "Is a file of /proc")
    if stat.S_ISSOCK(mode) and not stream:
        raise OSError(errno.ENXIO, "Is a socket")
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not terminal):
        raise OSError(errno.EINVAL, "Is a device")


def _stream(path: Path) -> int | None:
    return 0 if str(path) == "-" else descriptor.own(path)


@contextmanager
def _kept(fd: int) -> Iterator[int]:
    """Close a descriptor if the block fails."""
    try:
        yield fd
    except BaseException:
        os.close(fd)
        raise
