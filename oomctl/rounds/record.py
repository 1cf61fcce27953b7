"""The file that rounds are recorded in as they happen; the one module here that does file I/O."""

import errno
import io
import itertools
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from gzip import GzipFile
from pathlib import Path
from typing import Any, BinaryIO, Self

from oomctl import console
from oomctl.errors import OomctlError, UsageError
from oomctl.files.infile import can_be_read_again, open_input
from oomctl.rounds.reader import HINT, read_runs
from oomctl.rounds.run import Run, Section
from oomctl.text import counted
from oomctl.units import format_size

_MARGIN = 256  # bytes of space before the first line
_LONGEST = 64 << 20  # bytes of a line; a round of the largest scenario has a few MiB


class Record:
    """A file of JSON lines that only grows; without a path a temporary file without a name."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._fd = -1
        self._made = False
        self.length = self.rounds = 0

    def __enter__(self) -> Self:
        """Make the file; UsageError if it cannot be made or is not empty."""
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
        """Close the file; if no round was written, it is as it was before: empty or absent."""
        if self.path and not self.rounds:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
                if self._made and os.path.samestat(self.path.lstat(), os.fstat(self._fd)):
                    self.path.unlink()
        os.close(self._fd)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; OomctlError if the disk is full: then no part of it is written."""
        rest = memoryview(f"{json.dumps(line)}\n".encode())
        length = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self.length)
            raise OomctlError(
                f"cannot write the record{f' {self.path}' if self.path else ''}: {error.strerror}",
                "free some space; the rounds before this one are recorded",
            ) from error
        self.length += length
        self.rounds += line["kind"] == "round"

    def section(self, run: Run, start: int) -> Section:
        """Return a run with its lines, from byte `start` to the end so far."""
        return Section(run, partial(self._lines, start, self.length))

    def _lines(self, start: int, stop: int) -> Iterator[str]:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            yield from _between(file, start, stop)


@contextmanager
def open_records(names: Sequence[str], named: Path | None, kept: bool) -> Iterator[list[Record]]:
    """Open a record for each scenario, or the one `named` for all; say where they are on stderr.

    Unless `kept`, they are temporary files without a name.
    """
    with ExitStack() as stack:
        if named:
            records = [stack.enter_context(Record(named))] * len(names)
        else:
            paths = [_record_name(name) if kept else None for name in names]
            records = [stack.enter_context(Record(path)) for path in paths]
        with_path = [record for record in dict.fromkeys(records) if record.path]
        for record in with_path:
            console.note(f"every round goes to {record.path}")
        try:
            yield records
        finally:
            for record in with_path:
                if record.rounds:
                    path = record.path
                    rounds = counted(record.rounds, "round is", "rounds are")
                    console.note(f"{rounds} in {path}; see `oomctl report {path}`")


def _record_name(scenario_name: str) -> Path:
    clean = re.sub(r"[^A-Za-z0-9_.-]", "-", scenario_name).strip(".") or "scenario"
    stem = f"oomctl-{clean[:100]}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    paths = (Path(f"{stem}{suffix}.jsonl") for suffix in suffixes)
    return next(path for path in paths if not path.exists())


def _open_empty(path: Path) -> tuple[int, bool]:
    """Open an empty file to append to; return whether it was made. OSError if it is not empty."""
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
    """Return the runs of a record; UsageError if it cannot be read or is not a record."""
    try:
        with open_input(path) as file:
            return read_sections(file, path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error


def read_sections(file: BinaryIO, path: Path, first: bytes | None = None) -> list[Section]:
    """Return the runs of a record that has been opened; raises OSError too.

    `first` is its first line, if that has been read. What cannot be read again as it is, from a
    pipe or a compressed file, is held in memory.
    """
    as_it_is = can_be_read_again(path) and not isinstance(file, GzipFile)
    kept = None if as_it_is else io.BytesIO()
    found = list(read_runs(_raw_lines(file, path, kept, first), str(path)))
    source = path if kept is None else kept
    return [Section(one.run, partial(_read_lines, source, one.start, one.stop)) for one in found]


def first_line(file: BinaryIO, path: Path, most: int = _LONGEST) -> bytes:
    """Return the first line, and the space before it.

    UsageError if it is no object, or has more than `most` bytes: another file may be endless.
    """
    begun = b""
    while (byte := file.read(1)).isspace() and len(begun) < _MARGIN:
        begun += byte
    if byte not in (b"{", b""):
        raise UsageError(f"{path}: is not a record", HINT)
    return begun + byte + _line(file, path, most)


def _raw_lines(
    file: BinaryIO, path: Path, kept: io.BytesIO | None, first: bytes | None
) -> Iterator[bytes]:
    text = first_line(file, path) if first is None else first
    while text:
        if kept is not None:
            kept.write(text)
        yield text
        text = _line(file, path)


def _line(file: BinaryIO, path: Path, most: int = _LONGEST) -> bytes:
    text = file.readline(most)
    if len(text) == most:
        raise UsageError(f"{path}: has a line of more than {format_size(most)}", HINT)
    return text


def _read_lines(source: Path | io.BytesIO, start: int, stop: int) -> Iterator[str]:
    if isinstance(source, io.BytesIO):
        yield from _between(source, start, stop)
    else:
        with open_input(source) as file:
            yield from _between(file, start, stop)


def _between(file: BinaryIO, start: int, stop: int) -> Iterator[str]:
    file.seek(start)
    while file.tell() < stop:
        text = file.readline().decode().rstrip("\n")
        # oomctl writes ASCII only, but another program may have changed the file
        yield text if text.isascii() and text.isprintable() else json.dumps(json.loads(text))
