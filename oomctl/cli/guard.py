"""The border between commands and the shell: every error becomes a line and an exit code."""

import errno
import functools
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

import typer

from oomctl import console
from oomctl.errors import Exit, OomctlError

P = ParamSpec("P")
R = TypeVar("R")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        before = {
            number: signal.signal(number, _end)
            for number in _ENDING
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
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
            for number, handler in before.items():
                signal.signal(number, handler)

    return run


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    for other in _ENDING:  # a second Ctrl-C must not stop the cleaning
        signal.signal(other, signal.SIG_IGN)
    raise _EndedBySignal(number)
