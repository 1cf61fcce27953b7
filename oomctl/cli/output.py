"""Where a command's result goes: stdout, or a file that is tried before anything is done."""

import os
import sys
import tempfile
from io import TextIOWrapper
from pathlib import Path
from typing import Self, TextIO

from oomctl import talk
from oomctl.errors import OomctlError, UsageError


class Output:
    """The place of the result; a file appears whole or not at all."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        """Make sure that the result has somewhere to go; UsageError if not."""
        if self._path is None:
            if sys.stdout is None:  # >&-
                raise UsageError("stdout is closed", "give --output FILE")
            return self
        if self._is_device():
            return self
        try:
            if self._path.is_dir():
                raise UsageError(f"--output {self._path}: is a folder", "name a file")
            fd, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        except OSError as error:
            raise UsageError(
                f"--output {self._path}: {error.strerror}",
                "name a file in a folder you can write to",
            ) from error
        os.close(fd)
        self._temporary = Path(name)
        return self

    def __exit__(self, *_exc: object) -> None:
        """Leave nothing half-written behind."""
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def _is_device(self) -> bool:
        """A pipe or /dev/stdout is written to, never replaced."""
        path = self._path
        try:
            return path is not None and path.exists() and not (path.is_file() or path.is_dir())
        except OSError:  # of a name that is too long, or below a folder that is not ours to see
            return False

    def write(self, text: str) -> None:
        """Write the result; OomctlError if the disk is full."""
        try:
            if self._path is None:
                _cope(sys.stdout)
                sys.stdout.write(text)
                sys.stdout.flush()
                return
            if self._temporary is None:
                self._path.write_text(text, "utf-8", "backslashreplace")
                return
            self._temporary.write_text(text, "utf-8", "backslashreplace")
            umask = os.umask(0)
            os.umask(umask)
            self._temporary.chmod(0o666 & ~umask)
            self._temporary.replace(self._path)
        except BrokenPipeError:  # `| head`
            raise
        except OSError as error:
            if self._path is None:
                talk.discard(sys.stdout)
            raise OomctlError(
                f"cannot write the result to {self._path or 'stdout'}: {error.strerror}",
                "free some space or name another file",
            ) from error


def _cope(stream: TextIO) -> None:
    """Let a stream escape what its encoding lacks, where it would raise."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
