"""Children that die with this process; one without exec never returns into its parent's code."""

import ctypes
import errno
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import Structure, c_char, c_int32
from dataclasses import dataclass
from pathlib import Path

from oomctl.errors import Exit, OomctlError, UnsupportedError
from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.fate import Death
from oomctl.signals import ENDING

_OWN_ADJ = Path("/proc/self/oom_score_adj")
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_prctl = ctypes.CDLL(None).prctl
_programs_adj: int | None = None

_CURES = {
    errno.EAGAIN: "a limit on processes is reached: see pids.max of its cgroups and `ulimit -u`",
    errno.ENOMEM: "the machine has no memory left: ask for less",
}


class _Error(Structure):
    """The error that ended a child, in memory shared with its parent; code 0 is no error."""

    _fields_ = [("code", c_int32), ("why", c_char * 2048), ("hint", c_char * 1024)]


@dataclass(frozen=True)
class Child:
    """A forked child: its PID, and the error if an exception ends it."""

    pid: int
    _left: _Error

    @property
    def error(self) -> OomctlError | None:
        """The error that ended it; None if it runs or ended in another way."""
        if not self._left.code:
            return None
        kind = UnsupportedError if self._left.code == Exit.UNSUPPORTED else OomctlError
        return kind(_text(self._left.why), _text(self._left.hint))

    def end(self, death: Death | None) -> str:
        """Describe how it ended: by an error, a signal or a status; `death` is None if it runs."""
        if self.error:
            return f"failed: {self.error}"
        return "did not end in time" if death is None else death.how


def cannot_start(what: str, error: OSError) -> OomctlError:
    """Return the error of a process that could not be started."""
    cure = _CURES.get(error.errno or 0, "install oomctl again")
    return OomctlError(f"cannot start {what}: {error.strerror or error}", cure)


def forked(run: Callable[[], int], comm: bytes) -> Child:
    """Fork a child that calls `run` and exits with the status that it returns.

    The child ignores the signals that ask oomctl to end; if `run` raises, its exit status is 255
    and `Child.error` says why. Raises OomctlError if no process can be made.
    """
    parent = os.getpid()
    left = _Error.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Error)))
    try:
        pid = os.fork()
    except OSError as error:
        raise cannot_start(f"the process {comm.decode()}", error) from error
    if pid:
        return Child(pid, left)
    try:  # it must end by _exit(): everything on its stack belongs to its parent
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        _prctl(_PR_SET_NAME, comm, 0, 0, 0)
        die_with(parent)
        os._exit(run())
    except BaseException as error:
        _leave(error, left)
    finally:
        os._exit(255)


def _leave(error: BaseException, left: _Error) -> None:
    """Put an exception into the shared memory; its text is cut to the room."""
    match error:
        case OomctlError():
            code, why, hint = error.code, error.why, error.hint
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            code, why, hint = Exit.FAILED, f"{error.strerror or error}{where}", ""
        case _:
            code, why, hint = Exit.FAILED, f"{type(error).__name__}: {error}", ""
    left.why = _cut(why, _Error.why.size)
    left.hint = _cut(hint, _Error.hint.size)
    left.code = code


def _cut(text: str, size: int) -> bytes:
    return " ".join(text.split()).encode(errors="backslashreplace")[: size - 1]


def _text(left: bytes) -> str:
    return left.decode(errors="replace")


@contextmanager
def programs_at(adj: int) -> Iterator[None]:
    """Give programs that are started in the block this oom_score_adj (see `before_exec()`)."""
    global _programs_adj
    outer, _programs_adj = _programs_adj, adj
    try:
        yield
    finally:
        _programs_adj = outer


def before_exec(parent: int) -> None:
    """Prepare a process between fork and exec: it dies with `parent`."""
    die_with(parent)
    if _programs_adj is not None:
        with suppress(KernelFileError):
            kernelfile.write(_OWN_ADJ, _programs_adj)


def die_with(parent: int) -> None:
    """Have the kernel kill this process, also after exec, when `parent` ends for any reason.

    For use between fork and exec, when `parent` may have died already.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(255)
