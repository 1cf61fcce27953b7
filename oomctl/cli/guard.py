"""The border between commands and the shell: every error becomes one line and an exit code."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

import typer

from oomctl import talk
from oomctl.errors import OomctlError

P = ParamSpec("P")
R = TypeVar("R")

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _EndedBySignal(BaseException):
    """A signal asked oomctl to end; raised so that every context manager cleans up."""

    def __init__(self, number: int) -> None:
        self.number = number


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors of a command into one line on stderr and the documented exit code.

    SIGTERM and SIGHUP unwind like Ctrl-C, so that context managers clean up; the exit code is then
    128 + the signal's number, as a shell reports it.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        before = {number: signal.signal(number, _end) for number in _ENDING}
        try:
            return command(*args, **kwargs)
        except OomctlError as error:
            talk.note(str(error))
            for line in error.detail.splitlines():
                talk.detail(line)
            raise typer.Exit(error.code) from None
        except KeyboardInterrupt:
            talk.note("interrupted; everything it made is removed")
            raise typer.Exit(128 + signal.SIGINT) from None
        except _EndedBySignal as ended:
            talk.note(f"ended by {signal.Signals(ended.number).name}; everything it made is removed")
            raise typer.Exit(128 + ended.number) from None
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(128 + signal.SIGPIPE) from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return run


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise _EndedBySignal(number)


def _silence_stdout() -> None:
    """Keep the interpreter's own flush at exit from failing on the closed pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
