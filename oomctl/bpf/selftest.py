"""Whether the observer's programs run: a process of our own ends, which some of them must notice.

The others run only when the OOM killer does, and that does not run without a report in the kernel
log or a victim, unless its caller is dying: then it marks the caller, for every observer to see.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Collection, Mapping

from oomctl.proc import fork

TRIED = frozenset({"sigkill", "process_exit", "missed_exit"})
"""Programs that run when any process is sent a signal, or ends."""

_TRIES = 3
_PATIENCE = 5.0  # seconds until the process must have ended
_COMM = b"oomctl-probe"


def silent_programs(
    attached: Collection[str], fired: Callable[[], Mapping[str, int]]
) -> tuple[str, ...]:
    """Name those of TRIED that are attached but do not run; `fired` counts as Observer's does.

    More than one try: a program is passed over for a process that ends while another one is
    preempted in it on the same CPU (kernel/bpf/trampoline.c, __bpf_prog_enter_recur()).
    OomctlError if no process can be started.
    """
    silent = tuple(name for name in attached if name in TRIED)
    before = fired()
    for _ in range(_TRIES):
        _end_a_process()
        now = fired()
        silent = tuple(name for name in silent if now[name] == before[name])
        if not silent:
            break
    return silent


def _end_a_process() -> None:
    """Start a process that is sent a signal and ends by itself: no event tells of such an end."""
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
    """Send a signal that `forked()` has made ignored: the tracepoint is passed all the same."""
    os.kill(os.getpid(), signal.SIGHUP)
    return 0
