"""Where a command's result goes: stdout, or a file that is tried before anything is done."""

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from oomctl import console
from oomctl.errors import OomctlError, UsageError
from oomctl.files import descriptor

if TYPE_CHECKING:
    from oomctl.files.outfile import OutFile

_ANOTHER = "name a file in a folder you can write to"
_HINTS: dict[int | None, str] = {
    **dict.fromkeys((errno.EISDIR, errno.EINVAL, errno.ENODEV), "name a file"),
    errno.ENXIO: "start its reader first, or name a file",
    errno.EBADF: "name one that is",
}

_IN_MEMORY = 1 << 23


class Output:
    """The place of the result; a file of that name appears whole or not at all."""

    def __init__(self, path: Path | None, option: str = "--output") -> None:
        self._path = path
        self._option = option
        self._file: OutFile | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make sure that the result has somewhere to go; UsageError if not."""
        # if >&- closed it, app.py has opened /dev/null instead
        if sys.stdout is None and (self._path is None or descriptor.own(self._path) == 1):
            raise UsageError("stdout is closed", "send it to a file: >FILE")
        if self._path is not None:
            from oomctl.files.outfile import open_output

            try:
                self._file = self._stack.enter_context(open_output(self._path))
            except OSError as error:
                raise UsageError(
                    f"{self._option} {self._path}: {error.strerror}",
                    _HINTS.get(error.errno, _ANOTHER),
                ) from error
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the file."""
        self._stack.close()

    @property
    def is_file(self) -> bool:
        """Whether the result goes to a file, which appears at the end."""
        return self._path is not None

    @property
    def width(self) -> int | None:
        """The columns of the terminal that the result goes to, if it goes to one."""
        if self._file is not None or not sys.stdout.isatty():
            return None
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80

    def is_at(self, path: Path) -> bool:
        """Tell whether the result goes into that file, which is there."""
        found = path.stat()
        if self._file is not None:
            return self._file.is_at(found)
        try:
            return os.path.samestat(os.fstat(sys.stdout.fileno()), found)
        except OSError:  # a test may have put an object there that is not a file
            return False

    def require_apart(self, read: Iterable[Path]) -> None:
        """Raise UsageError if the result would go into a file that the command reads."""
        for path in read:
            source = Path("/dev/stdin") if str(path) == "-" else path
            with suppress(OSError, ValueError):  # reported when it is read
                if source.is_file() and self.is_at(source):
                    place = "stdout" if self._path is None else f"{self._option} {self._path}"
                    raise UsageError(f"{place} is {path}, which is read", "name another file")

    def write(self, text: str) -> None:
        """Write the result; OomctlError if the disk is full."""
        self.write_pieces([text])

    def write_pieces(self, texts: Iterable[str]) -> None:
        """Write a result that may be larger than the memory; OomctlError if the disk is full.

        On stdout each piece comes as soon as it is there. A file appears with all of them.
        """
        try:
            if self._file is not None:
                from tempfile import SpooledTemporaryFile

                with SpooledTemporaryFile(_IN_MEMORY) as pieces:
                    for text in texts:
                        pieces.write(text.encode("utf-8", "backslashreplace"))
                    self._file.write(pieces)
                return
            _cope(sys.stdout)
            for text in texts:
                with console.wiped():
                    sys.stdout.write(text)
                    sys.stdout.flush()
        except BrokenPipeError:  # `| head`
            raise
        except OSError as error:
            if self._file is None:
                console.discard(sys.stdout)
            raise OomctlError(
                f"cannot write the result to {self._path or 'stdout'}: {error.strerror}",
                "free some space or name another file",
            ) from error


def require_new(path: Path | None) -> None:
    """Raise UsageError if a file has content already; such a command replaces no file."""
    if path and path.is_file() and path.stat().st_size:
        raise UsageError(f"{path} is there already", "name a new file")


def _cope(stream: TextIO) -> None:
    """Let a stream escape what its encoding lacks, instead of raising."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
