"""Children that die with this very process; those without exec never unwind into its code."""

import ctypes
import os
import signal
from collections.abc import Callable

from oomctl.kernel.interrupt import ENDING

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_prctl = ctypes.CDLL(None).prctl


def forked(run: Callable[[], int], comm: bytes) -> int:
    """Fork a child that runs something and exits with what that returns; return its PID.

    Signals that ask oomctl to end are ignored in it; where `run` raises, its exit status is 255.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:  # it must leave by _exit, since everything it holds is its parent's
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        _prctl(_PR_SET_NAME, comm, 0, 0, 0)
        die_with(parent)
        os._exit(run())
    finally:
        os._exit(255)


def die_with(parent: int) -> None:
    """Have the kernel kill this process, also after exec, when `parent` ends, whatever ends that.

    For use between fork and exec: `parent` may have died already.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(255)
