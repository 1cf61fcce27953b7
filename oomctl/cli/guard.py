"""The border between commands and the shell: every error becomes a line and an exit code."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

import typer

from oomctl import console
from oomctl.errors import Exit, OomctlError
from oomctl.signals import ENDING

P = ParamSpec("P")
R = TypeVar("R")

_AGAIN = 0.01
"""Seconds until a signal whose exception was lost is sent again, and between the alarms for that.

An alarm that comes right before a system call blocks is handled when the next one ends that call.
"""


class _EndedBySignal(BaseException):
    """A signal asked oomctl to end; raised so that every context manager cleans up."""

    def __init__(self, number: int) -> None:
        self.number = number


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors of a command into a line on stderr and the documented exit code.

    SIGINT, SIGTERM and SIGHUP unwind, so that context managers clean up, and are ignored from then
    on, but for SIGINT if there is a journal for the rest (oomctl/signals.py); the exit code is
    128 + the signal's number, as a shell reports it. What was ignored at the start (nohup) stays
    so.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _ending_signals_raise():
                return command(*args, **kwargs)
        except OomctlError as error:
            for line in error.lines:
                console.note(line)
            for line in error.detail.splitlines():
                console.detail(line)
            raise typer.Exit(error.code) from None
        except _EndedBySignal as ended:
            name = signal.Signals(ended.number).name
            console.note(f"ended by {name}; its processes, cgroups and temporary files are gone")
            raise typer.Exit(128 + ended.number) from None
        except BrokenPipeError:
            console.discard(sys.stdout)
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            if error.errno == errno.ENAMETOOLONG:  # oomctl's own names are short
                console.note(f"{error.strerror}{where}; give a shorter one")
                raise typer.Exit(Exit.USAGE) from None
            hint = "; `-v` shows where it came from" if "verbose" in kwargs else ""
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                hint = f"; free some space{hint}"
            console.note(f"{error.strerror or error}{where}{hint}")
            for line in traceback.format_exc().splitlines():
                console.detail(line)
            raise typer.Exit(Exit.FAILED) from None
        finally:
            console.end_bar()

    return run


@contextmanager
def _ending_signals_raise() -> Iterator[None]:
    hook, handlers, timers = sys.unraisablehook, {}, []

    def unraisable(lost: "sys.UnraisableHookArgs") -> None:
        """Send a signal again that raised in a finalizer or callback, where Python goes on."""
        if isinstance(lost.exc_value, _EndedBySignal):
            signal.signal(lost.exc_value.number, _end)
            signal.signal(signal.SIGALRM, partial(_send, lost.exc_value.number))
            timers.append(signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN))
        else:
            hook(lost)

    sys.unraisablehook = unraisable
    try:
        for number in (*ENDING, signal.SIGALRM):
            handlers[number] = signal.getsignal(number)
            if number in ENDING and handlers[number] is not signal.SIG_IGN:
                signal.signal(number, _end)
        yield
    finally:
        if timers:
            signal.setitimer(signal.ITIMER_REAL, *timers[0])
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    for other in ENDING:  # a second Ctrl-C must not stop the cleaning
        signal.signal(other, signal.SIG_IGN)
    raise _EndedBySignal(number)


def _send(number: int, _alarm: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.kill(os.getpid(), number)
