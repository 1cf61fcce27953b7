"""Children that die with this very process; those without exec never unwind into its code."""

import ctypes
import errno
import os
import signal
from collections.abc import Callable

from oomctl.errors import OomctlError
from oomctl.kernel.interrupt import ENDING

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_prctl = ctypes.CDLL(None).prctl

_CURES = {
    errno.EAGAIN: "a limit on processes is reached: see pids.max of its cgroups and `ulimit -u`",
    errno.ENOMEM: "the machine has no memory left: ask for less",
}


def cannot_start(what: str, error: OSError) -> OomctlError:
    """Return the error of a process that could not be started."""
    cure = _CURES.get(error.errno or 0, "install oomctl again")
    return OomctlError(f"cannot start {what}: {error.strerror or error}", cure)


def forked(run: Callable[[], int], comm: bytes) -> int:
    """Fork a child that runs something and exits with what that returns; return its PID.

    Signals that ask oomctl to end are ignored in it; where `run` raises, its exit status is 255.
    Raises OomctlError where there may be no more processes.
    """
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        raise cannot_start(f"the process {comm.decode()}", error) from error
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
