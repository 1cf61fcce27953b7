"""The file that a run's rounds go to as they happen; the one module here that does I/O."""

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
from oomctl.stress.reader import HINT, read_runs
from oomctl.stress.run import Run, Section


class Record:
    """A file of JSON lines that only grows; without a path a nameless one, gone at the end."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._fd = -1
        self._length = self.rounds = 0

    def __enter__(self) -> Self:
        """Make the file; UsageError if that cannot be, or if it holds something already."""
        if self.path is None:
            with tempfile.TemporaryFile() as nameless:
                self._fd = os.dup(nameless.fileno())
            return self
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise UsageError(
                f"the record {self.path}: {error.strerror}",
                "name a file in a folder you can write to, or give --no-record",
            ) from error
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size:
            os.close(self._fd)
            what = "holds something already" if found.st_size else "is not a regular file"
            raise UsageError(f"the record {self.path}: {what}", "name a file that is not there yet")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the file; one that no round was written to is removed again."""
        if self.path and not self.rounds:
            with suppress(OSError):
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


def read_record(path: Path) -> list[Section]:
    """Return the runs of a record; UsageError where it cannot be read or is none."""
    try:
        with path.open("rb") as file:
            if file.peek(1)[:1] not in (b"{", b""):  # before a line of any length is read
                raise UsageError(f"{path}: is not a record", HINT)
            # a pipe can be read only once
            again = None if file.seekable() else io.BytesIO(file.read())
            found = list(read_runs(again or file, str(path)))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error
    return [
        Section(one.run, partial(_read_lines, again or path, one.start, one.stop)) for one in found
    ]


def _read_lines(place: Path | io.BytesIO, start: int, stop: int) -> Iterator[str]:
    if isinstance(place, io.BytesIO):
        yield from _between(place, start, stop)
    else:
        with place.open("rb") as file:
            yield from _between(file, start, stop)


def _between(file: BinaryIO, start: int, stop: int) -> Iterator[str]:
    file.seek(start)
    while file.tell() < stop:
        text = file.readline().decode().rstrip("\n")
        # oomctl writes nothing else, but what another program made of it may hold any character
        yield text if text.isascii() and text.isprintable() else json.dumps(json.loads(text))
