"""The disks of a guest: sparse files without a name, thrown away with the machine."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from oomctl.errors import OomctlError
from oomctl.lab import tools
from oomctl.lab.qemu import Machine
from oomctl.proc import programs

# The tables of a new file system need not be written: a sparse file reads as zeros.
_EXT4 = ("-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1")


def made(machine: Machine, folder: Path, deadline: float) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and file of each disk that a machine has: `scratch`, with ext4, and `swap`.

    OomctlError if one cannot be made in `folder`, subprocess.TimeoutExpired past the deadline.
    """
    for name, size in (("scratch", machine.scratch), ("swap", machine.swap)):
        if not size:
            continue
        path = folder / name
        try:
            path.touch(exist_ok=False)
            os.truncate(path, size)
        except OSError as error:
            raise OomctlError(
                f"cannot make a disk of {size >> 20} MiB in {folder.parent}: {error.strerror}",
                "give a smaller one, or point OOMCTL_CACHE at another file system",
            ) from error
        if name == "scratch":
            left = max(deadline - time.monotonic(), 0.01)
            status, output = programs.run(str(tools.mke2fs()), *_EXT4, str(path), timeout=left)
            if status:
                raise OomctlError("mke2fs failed", "run with -v to see its output", output)
        yield name, path.open("rb+", buffering=0)
        path.unlink()
