"""A guest that is kept for many commands: its record in the cache, and how others reach it.

A keeper process (lab/keeper.py) holds the machine. Its record is locked as long as it lives, and
names the process by PID and start time; a socket without a file is where commands come.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from oomctl import cache
from oomctl.errors import OomctlError, UsageError
from oomctl.files import descriptor

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_STOP_SECONDS, _CLAIM_SECONDS = 15.0, 0.5


@dataclass(frozen=True)
class Record:
    """A kept guest: its keeper by PID and start time (seconds since the epoch), and its kernel.

    `owner` is the PID of the process with which it ends, None if there is none; `idle` are the
    seconds without a command after which it ends. `python` names what the Python that waits in it
    has loaded, "" if there is none.
    """

    name: str
    pid: int
    began: float
    kernel: str
    owner: int | None
    idle: float
    python: str = ""

    def is_keeper(self) -> bool:
        """Tell whether the process still is the one that wrote this."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.began) < 1
        except psutil.Error:
            return False


def valid_name(text: str) -> str:
    """Return the name of a guest; ValueError if it cannot be a file's name."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name: letters, digits, dot, dash and underscore")
    return text


@contextlib.contextmanager
def claimed(name: str) -> Iterator[IO[str]]:
    """Lock the record of a new guest for as long as the file is open; UsageError if one runs."""
    end = time.monotonic() + _CLAIM_SECONDS
    while True:
        with _path(name, make=True).open("a+") as file:
            if descriptor.lock(file) and _is_there(file):
                yield file
                return
        if time.monotonic() > end:  # else a reader may have looked whether it is locked
            raise UsageError(
                f"a guest {name!r} runs already", "use it, stop it, or give another --name"
            )
        time.sleep(0.05)


def write(file: IO[str], record: Record) -> None:
    """Put the record of a guest that is ready into its locked file."""
    file.truncate(0)
    file.write(json.dumps(asdict(record)))
    file.flush()


def listed() -> list[Record]:
    """Return the guests that run, by name."""
    names = sorted(path.stem for path in cache.place("guests").glob("*.json"))
    return [record for name in names if (record := _read(name))]


def find(name: str) -> Record:
    """Return a guest that runs; UsageError if there is none of that name."""
    record = _read(name)
    if record is None:
        others = ", ".join(one.name for one in listed())
        raise UsageError(
            f"no guest {name!r} runs{f', only {others}' if others else ''}",
            "`oomctl lab start` starts one",
        )
    return record


def connect(record: Record) -> socket.socket:
    """Connect to a keeper; OomctlError if it has just ended."""
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(address(record.name))
    except OSError as error:
        link.close()
        raise OomctlError(
            f"cannot reach the guest {record.name!r}: {error.strerror}",
            "it has just ended; `oomctl lab start` starts another",
        ) from error
    return link


def stop(record: Record) -> None:
    """End a guest, and wait until it is gone; OomctlError if it does not end."""
    end = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        if record.is_keeper():
            os.kill(record.pid, signal.SIGTERM)
    while _read(record.name) == record:
        if time.monotonic() > end:
            raise OomctlError(
                f"the keeper of the guest {record.name!r} (pid {record.pid}) does not end",
                f"kill -9 {record.pid}; its machine ends with it",
            )
        time.sleep(0.05)


def address(name: str) -> str:
    """Return the abstract address of a keeper's socket; it depends on the cache's folder."""
    key = hashlib.sha256(os.fsencode(_path(name))).hexdigest()[:32]
    return f"\0oomctl-lab-{key}"


def _read(name: str) -> Record | None:
    """Return the record of a guest that runs; a file that a killed keeper has left is removed."""
    path = _path(name)
    try:
        with path.open() as file:
            if descriptor.lock(file):
                path.unlink(missing_ok=True)
                return None
            return Record(**json.load(file))
    except (OSError, ValueError, TypeError):  # none, or its guest boots still
        return None


def _path(name: str, make: bool = False) -> Path:
    folder = cache.folder("guests") if make else cache.place("guests")
    return folder / f"{name}.json"


def _is_there(file: IO[str]) -> bool:
    """Tell whether a file still has its name."""
    try:
        return os.path.samestat(Path(file.name).stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
