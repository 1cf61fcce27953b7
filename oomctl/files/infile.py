"""Files that the user names to be read: opened without waiting for data that never comes."""

import errno
import io
import os
import select
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oomctl.files import descriptor

PATIENCE = 5.0
"""Seconds that a named pipe may be without a writer."""


def open_input(path: Path) -> "io.BufferedReader[_Raw]":
    """Open a regular file, a pipe, or stdin for `-`; OSError says why it cannot be read.

    Devices and files of /proc are refused: some never end, some block, and reading /proc/kmsg
    consumes it.
    """
    number = _stream(path)
    with ExitStack() as stack:  # closes the file if anything fails
        if number is not None:
            raw = stack.enter_context(_Raw(os.dup(number)))
            _require(os.fstat(raw.fileno()), raw.isatty(), stream=True)
            file = io.BufferedReader(raw)
        else:
            pinned = os.open(path, os.O_PATH | os.O_CLOEXEC)  # unlike other opens this never waits
            try:
                found = os.fstat(pinned)
                _require(found)
                itself = f"/proc/self/fd/{pinned}"
                fd = os.open(itself, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            finally:
                os.close(pinned)
            raw = stack.enter_context(_Raw(fd))
            file = io.BufferedReader(raw)
            if stat.S_ISFIFO(found.st_mode):
                _await_writer(raw, file)
        stack.pop_all()
    return file


def can_be_read_again(path: Path) -> bool:
    """Return whether a second open_input() gives the same bytes, unlike for a pipe."""
    return _stream(path) is None and path.is_file()


class _Raw(io.FileIO):
    """A non-blocking descriptor without data raises EAGAIN instead of looking like end of file."""

    waiting = False

    def readinto(self, buffer: Any) -> int:
        got = super().readinto(buffer)
        self.waiting = got is None
        if got is None and not stat.S_ISFIFO(os.fstat(self.fileno()).st_mode):
            raise BlockingIOError(errno.EAGAIN, "Has no data now")
        return got or 0


def _await_writer(raw: _Raw, file: "io.BufferedReader[_Raw]") -> None:
    """Wait for the writer of a named pipe; OSError if none comes. Later reads may wait.

    fs/pipe.c, pipe_read(): a non-blocking read returns 0 without a writer, and EAGAIN with a writer
    that has written nothing yet.
    """
    poll = select.poll()
    poll.register(file, select.POLLIN)
    ready = poll.poll(PATIENCE * 1000)  # there is data, or a writer has come and gone
    if not file.peek(1) and not raw.waiting and not ready:
        raise OSError(errno.EAGAIN, "Is a pipe without a writer")
    os.set_blocking(file.fileno(), True)


def _require(found: os.stat_result, terminal: bool = False, stream: bool = False) -> None:
    """Raise OSError for a kind of file that has no end, or no content of the user's."""
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
