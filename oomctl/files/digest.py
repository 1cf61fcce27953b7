"""How a file is known again: by the hash of its content, or by what the file system says."""

import hashlib
import os
from pathlib import Path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(file: Path | str) -> str:
    """Return the name of a file, and by what another content of it is known; also if it is gone."""
    try:
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return f"{file} -"
    return f"{file} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
