"""What Python does outside itself: files opened, writes, signals, programs run."""

import os
import sys
from collections import Counter
from contextlib import contextmanager

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = frozenset(
    f"os.{name}"
    for name in (
        *("mkdir", "rmdir", "remove", "rename", "link", "symlink", "truncate", "chmod", "chown"),
        *("utime", "setxattr", "removexattr", "kill", "killpg", "posix_spawn", "system", "exec"),
        *("fork", "forkpty"),
    )
)
_listeners = []
_counters = []


@contextmanager
def batch(listener):
    """Call `listener` with each change before it is made; what it raises keeps it from that."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def opens():
    """Count the files that are opened in the block, by path."""
    _counters.append(Counter())
    try:
        yield _counters[-1]
    finally:
        _counters.pop()


def _listen(event, arguments):
    if _counters and event == "open":
        path = arguments[0]
        _counters[-1][os.fsdecode(path) if isinstance(path, bytes) else str(path)] += 1
    if not _listeners:
        return
    opened = event == "open" and arguments[0] != os.devnull and arguments[2] & _WRITING
    if opened or event in _CHANGING or event == "subprocess.Popen":
        _listeners[-1]((event, *map(str, arguments[:2])))


sys.addaudithook(_listen)  # for good: there is no way to take one out
