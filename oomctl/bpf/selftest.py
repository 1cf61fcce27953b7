"""Tests whether the observer's programs run: a child ends, for which some of them must run.

The others run only with the OOM killer, which cannot run without a report in the kernel log or a
victim (if its caller is dying it marks the caller, which every observer sees).
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Collection, Mapping

from oomctl.proc import fork

TESTED = frozenset({"sigkill", "process_exit", "missed_exit"})
"""Programs that run when any process gets a signal or ends."""

_ATTEMPTS = 3
_PATIENCE = 5.0  # seconds until the process must have ended
_COMM = b"oomctl-probe"


def silent_programs(
    attached: Collection[str], fired: Callable[[], Mapping[str, int]]
) -> tuple[str, ...]:
    """Return those of TESTED that are attached but do not run; `fired` is Observer's.

    Several attempts: a program does not run for a process that ends while another task is preempted
    in the program on the same CPU (kernel/bpf/trampoline.c, __bpf_prog_enter_recur()). Raises
    OomctlError if no process can be started.
    """
    silent = tuple(name for name in attached if name in TESTED)
    before = fired()
    for _ in range(_ATTEMPTS):
        _end_a_process()
        now = fired()
        silent = tuple(name for name in silent if now[name] == before[name])
        if not silent:
            break
    return silent


def _end_a_process() -> None:
    """Start a process that gets a signal and exits: the observer has no event for such an exit."""
    pid = fork.forked(_signalled, _COMM).pid
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # reaped if SIGCHLD is ignored
        pidfd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(_PATIENCE * 1000):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
        os.waitpid(pid, 0)


def _signalled() -> int:
    """Send a signal that `forked()` ignores: the tracepoint is passed nevertheless."""
    os.kill(os.getpid(), signal.SIGHUP)
    return 0
