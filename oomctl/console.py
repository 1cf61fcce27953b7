"""Messages on stderr: notes, progress and details; stdout is for results."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from oomctl.text import printable

_verbosity = 0
_shows_steps = False
_is_quiet = False
_bar = ""


def set_verbosity(level: int) -> None:
    """Set the verbosity: 0 notes and errors, 1 each step and the logs behind an error."""
    global _verbosity
    _verbosity = level


def verbose() -> bool:
    """Return whether `-v` was given."""
    return _verbosity > 0


def note(text: str) -> None:
    """Print a message for every user, on one line."""
    try:
        with wiped():
            print(f"oomctl: {printable(text.expandtabs())}", file=sys.stderr, flush=True)
    except OSError:  # stderr is closed: go on
        discard(sys.stderr)


def not_interactive() -> str:
    """Return the stream that keeps a user from being asked, as it is not a terminal; "" if none."""
    streams = {"stdin": sys.stdin, "stderr": sys.stderr}
    return next((name for name, stream in streams.items() if not stream.isatty()), "")


def ask(question: str) -> bool:
    """Ask the user; only yes is yes. Unlike typer's confirm() this does not write to stdout."""
    print(f"oomctl: {question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.buffer.readline().strip().lower() in (b"y", b"yes")


def discard(stream: TextIO | None) -> None:
    """Drop the data in a failed stream, or the interpreter's flush at exit fails on it."""
    if stream is None:  # >&-
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def detail(text: str) -> None:
    """Print a message with `-v` only."""
    if verbose():
        note(text)


def verbose_steps() -> None:
    """Print the steps even if stderr is not a terminal, for a command that consists of them."""
    global _shows_steps
    _shows_steps = True


@contextmanager
def quiet() -> Iterator[None]:
    """Do not print the steps of each round while a bar counts the rounds."""
    global _is_quiet
    before, _is_quiet = _is_quiet, True
    try:
        yield
    finally:
        _is_quiet = before


def progress(text: str) -> None:
    """Print what a long step does, if stderr is a terminal or `-v` was given."""
    if verbose() or _shows_steps or (sys.stderr.isatty() and not _is_quiet):
        note(text)


def progress_bar(what: str, done: int, total: int) -> None:
    """Show the progress of a long step as a bar, which is removed when all is done."""
    if not _is_quiet:
        bar("" if done >= total else f"{what} {done}/{total}")


def has_colours() -> bool:
    """Return whether what goes to the terminal may have colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and _is_able()


def _is_able() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb"


def next_step(text: str) -> None:
    """Say at the end what a person may do next; terminals only."""
    if sys.stdout.isatty() and sys.stderr.isatty() and not _is_quiet:
        note(text)


class Foreign:
    """Passes on what another program says on stderr, line by line, and keeps the bar below it."""

    def __init__(self) -> None:
        self._begun = b""

    def take(self, data: bytes) -> None:
        """Print all lines that are complete."""
        lines, newline, self._begun = (self._begun + data).rpartition(b"\n")
        if newline:
            with wiped():
                os.write(sys.stderr.fileno(), lines + newline)

    def end(self) -> None:
        """Print the rest."""
        if self._begun:
            self.take(b"\n")


def bar(text: str) -> None:
    """Show a text on one line instead of the one before; only on a terminal that can wipe it."""
    global _bar
    if sys.stderr.isatty() and _is_able():
        end_bar()
        _bar = text and printable(f"oomctl: {text}")
        _draw()


def end_bar() -> None:
    """Remove the bar."""
    global _bar
    if _bar:
        _wipe()
        _bar = ""


@contextmanager
def wiped() -> Iterator[None]:
    """Remove the bar from its line while something else is written to the terminal."""
    _wipe()
    yield
    _draw()


def _draw() -> None:
    with suppress(OSError):  # the terminal was closed
        if _bar:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(_bar[: width - 1], end="", file=sys.stderr, flush=True)


def _wipe() -> None:
    with suppress(OSError):
        if _bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
