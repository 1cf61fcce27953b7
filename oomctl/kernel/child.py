"""Children of this very process, without exec: they die with it, and never unwind into its code."""

import ctypes
import os
import signal
from collections.abc import Callable

from oomctl.kernel.interrupt import ENDING

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


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
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NAME, comm, 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:  # else it died before the line above
            os._exit(run())
    finally:
        os._exit(255)
