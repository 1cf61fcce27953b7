"""Signals that ask oomctl to end are delivered while it waits, never between two steps.

So its context managers know everything that was made before an exception can unwind.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Keep ending signals pending in the block, except in `signals_unblocked()`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if before.issuperset(ENDING):
        yield
        return
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def signals_unblocked() -> Iterator[None]:
    """Deliver ending signals while waiting: a pending one raises here.

    If one does, SIGINT stays unblocked in the clean-up that follows, and ends oomctl at once.
    """
    before = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        yield
    except Exception:
        raise
    except BaseException:
        signal.signal(signal.SIGINT, _end_at_once)
        before.discard(signal.SIGINT)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit without clean-up: hogs and callers die with oomctl, the journal lists the rest."""
    wipe = b"\r\x1b[K" if os.isatty(2) else b""  # for a progress bar
    os.write(2, wipe + b"oomctl: ended at once; `oomctl clean` removes what it made\n")
    os._exit(128 + number)
