"""/dev/kmsg from a position on, with lost records counted; and lines of our own in it."""

import errno
import itertools
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from oomctl.errors import UnsupportedError
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import HEAD, Record, record_after
from oomctl.proc.capabilities import SYSLOG, CapabilitySets
from oomctl.text import printable

_KMSG = Path("/dev/kmsg")
_KMSG_NUMBER = os.makedev(1, 11)  # Documentation/admin-guide/devices.txt
_USER_INFO = "<14>"  # facility user, level info: devkmsg_write() in kernel/printk/printk.c
_RECORD_MAX = 8192  # more than CONSOLE_EXT_LOG_MAX; a shorter buffer gives EINVAL
_PATIENCE = 5.0  # seconds: enough for all records in the buffer; a flood has no end
_AT_ONCE = 64  # records between two looks at the clock
_marking = False


class Kmsg:
    """Reads what the kernel logs after `__enter__`.

    That reads the older records too, for the number of the last: the next ones may be overwritten
    before the first read. With `since_boot` the first read returns the older records, and those
    that are overwritten are lost.
    """

    def __init__(self, path: Path = _KMSG, since_boot: bool = False) -> None:
        self._path = path
        self._since_boot = since_boot
        self._fd = -1
        self._next: int | None = None
        self._hole = False
        self._flooded = False

    def __enter__(self) -> Self:
        """Open it, and skip the older records unless they are wanted."""
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            lack = SYSLOG.named_lack(CapabilitySets.own()) if error.errno == errno.EPERM else None
            raise UnsupportedError(
                f"cannot read the kernel log at {self._path}: "
                f"{lack.why if lack else error.strerror}",
                f"{lack.hint if lack else 'run it as root'}; oomctl proves a kill by the kernel's "
                "own word",
            ) from error
        try:
            if self._since_boot:
                self._next = 0
            else:
                self._skip()
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def fileno(self) -> int:
        """Return a descriptor that polls readable when there is something to read."""
        return self._fd

    def read(self) -> KernelLog:
        """Return the records since the last read; in a flood, those of the first 5 s."""
        records: list[Record] = []
        lost = 0
        for raw in self._records():
            head = self._head(raw)
            sequence = int(head[2])
            if self._next is not None and sequence > self._next:
                lost += sequence - self._next
                self._hole = True
            self._next = sequence + 1
            if record := record_after(head, raw):
                records.append(record._replace(after_loss=True) if self._hole else record)
                self._hole = False
        return KernelLog(tuple(records), lost)

    def _skip(self) -> None:
        """Read to the end; in a flood that outruns us jump there, and lose the records between."""
        newest = None
        for raw in self._records():
            if newest is None:
                self._head(raw)  # is it the kernel log?
            newest = raw
        if newest is not None:
            self._next = int(self._head(newest)[2]) + 1
        if self._flooded:
            os.lseek(self._fd, 0, os.SEEK_END)

    def _records(self) -> Iterator[bytes]:
        """Yield the records up to the end of the log; in a flood, those of the first 5 s."""
        end = time.monotonic() + _PATIENCE
        self._flooded = False
        for number in itertools.count(1):
            if (raw := self._record()) is None:
                return
            yield raw
            # not at each: where the clock is a device, it takes longer to read than a record
            if number % _AT_ONCE == 0 and time.monotonic() > end:
                self._flooded = True
                return

    def _record(self) -> bytes | None:
        """Return the next record; None if there is none yet."""
        while True:
            try:
                if raw := os.read(self._fd, _RECORD_MAX):
                    return raw
                raise self._is_another()  # the kernel log has no end
            except BlockingIOError:
                return None
            except BrokenPipeError:  # EPIPE: overwritten records; the numbers tell how many
                continue

    def _head(self, raw: bytes) -> re.Match[bytes]:
        if head := HEAD.match(raw):
            return head
        raise self._is_another()

    def _is_another(self) -> UnsupportedError:
        return UnsupportedError(
            f"{self._path} is not the kernel log (a container?)",
            "run it where that can be read; oomctl proves a kill by the kernel's own word",
        )


@contextmanager
def marked(what: str) -> Iterator[None]:
    """Name the block in the kernel log by a line before and one after it.

    So a scanner of logs can cut out the OOM reports that oomctl provokes. A block inside another
    writes nothing; nor does one in a place where /dev/kmsg cannot be written.
    """
    global _marking
    if _marking:
        yield
        return
    _marking = True
    _write(f"begin {what}; OOM reports are expected")
    try:
        yield
    finally:
        _write(f"end {what}")
        _marking = False


def _write(text: str) -> None:
    """Write one record; each opening has a rate limit of its own (devkmsg_open)."""
    with suppress(OSError):
        fd = os.open(_KMSG, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == _KMSG_NUMBER:
                os.write(fd, f"{_USER_INFO}oomctl: {printable(text)}\n".encode())
        finally:
            os.close(fd)
