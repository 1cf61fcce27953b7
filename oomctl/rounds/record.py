"""The file that a run's rounds go to as they happen; the one module here that does I/O."""

import errno
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

from oomctl.errors import OomctlError, UsageError
from oomctl.files.infile import can_be_read_again, open_input
from oomctl.rounds.reader import HINT, read_runs
from oomctl.rounds.run import Run, Section
from oomctl.units import format_size

_LONGEST = 64 << 20  # bytes of a line: a round of the largest scenario has a few M


class Record:
    """A file of JSON lines that only grows; without a path a nameless one, gone at the end."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._fd = -1
        self._made = False
        self._length = self.rounds = 0

    def __enter__(self) -> Self:
        """Make the file; UsageError if that cannot be, or if it holds something already."""
        if self.path is None:
            with tempfile.TemporaryFile() as nameless:
                self._fd = os.dup(nameless.fileno())
            return self
        try:
            self._fd, self._made = _open_empty(self.path)
        except OSError as error:
            hint = "a file in a folder you can write to, or give --no-record"
            if error.errno == errno.EEXIST:
                hint = "a file that is not there yet"
            raise UsageError(f"the record {self.path}: {error.strerror}", f"name {hint}") from error
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the file; one that no round was written to is as it was before: empty, or gone."""
        if self.path and not self.rounds:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
                if self._made and os.path.samestat(self.path.lstat(), os.fstat(self._fd)):
                    self.path.unlink()
        os.close(self._fd)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; OomctlError if the disk is full, and nothing of it is in the file then."""
        rest = memoryview(f"{json.dumps(line)}\n".encode())
        length = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._length)
            raise OomctlError(
                f"cannot write the record{f' {self.path}' if self.path else ''}: {error.strerror}",
                "free some space; the rounds before are in it",
            ) from error
        self._length += length
        self.rounds += line["kind"] == "round"

    @property
    def length(self) -> int:
        """The bytes written so far."""
        return self._length

    def section(self, run: Run, start: int) -> Section:
        """Return a run with its lines, which begin at that byte and end here."""
        return Section(run, partial(self._lines, start, self._length))

    def _lines(self, start: int, stop: int) -> Iterator[str]:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            yield from _between(file, start, stop)


def _open_empty(path: Path) -> tuple[int, bool]:
    """Open a file to append to; return whether it was made. OSError for what holds something."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
    try:
        pinned = os.open(path, os.O_PATH | os.O_CLOEXEC)  # unlike a real open this starts nothing
    except FileNotFoundError:  # a link to nothing
        return os.open(path, flags | os.O_CREAT, 0o666), False
    try:
        found = os.fstat(pinned)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EEXIST, "is not a regular file")
        if found.st_size:
            raise OSError(errno.EEXIST, "holds something already")
        return os.open(f"/proc/self/fd/{pinned}", flags), False
    finally:
        os.close(pinned)


def read_record(path: Path) -> list[Section]:
    """Return the runs of a record; UsageError where it cannot be read or is none."""
    try:
        with open_input(path) as file:
            kept = None if can_be_read_again(path) else io.BytesIO()
            found = list(read_runs(_raw_lines(file, path, kept), str(path)))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error
    place = path if kept is None else kept
    return [Section(one.run, partial(_read_lines, place, one.start, one.stop)) for one in found]


def _raw_lines(file: BinaryIO, path: Path, kept: io.BytesIO | None) -> Iterator[bytes]:
    """Yield each line before the next is read: what is no record may have no end."""
    begun = file.read(1)
    if begun not in (b"{", b""):
        raise UsageError(f"{path}: is not a record", HINT)
    while text := begun + file.readline(_LONGEST):
        if len(text) > _LONGEST:
            raise UsageError(f"{path}: has a line of more than {format_size(_LONGEST)}", HINT)
        if kept is not None:
            kept.write(text)
        yield text
        begun = b""


def _read_lines(place: Path | io.BytesIO, start: int, stop: int) -> Iterator[str]:
    if isinstance(place, io.BytesIO):
        yield from _between(place, start, stop)
    else:
        with open_input(place) as file:
            yield from _between(file, start, stop)


def _between(file: BinaryIO, start: int, stop: int) -> Iterator[str]:
    file.seek(start)
    while file.tell() < stop:
        text = file.readline().decode().rstrip("\n")
        # oomctl writes nothing else, but what another program made of it may hold any character
        yield text if text.isascii() and text.isprintable() else json.dumps(json.loads(text))
