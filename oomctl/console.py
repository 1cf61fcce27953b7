"""What oomctl says on stderr: notes, progress and details; stdout belongs to results."""

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
    """Set how much is said: 0 notes and errors, 1 each step and the logs behind an error."""
    global _verbosity
    _verbosity = level


def verbose() -> bool:
    """Tell whether `-v` was given."""
    return _verbosity > 0


def note(text: str) -> None:
    """Say something that everybody should read, on one line."""
    try:
        with wiped():
            print(f"oomctl: {printable(text.expandtabs())}", file=sys.stderr, flush=True)
    except OSError:  # nobody listens; the work goes on
        discard(sys.stderr)


def somebody_is_here() -> bool:
    """Tell whether a person can be asked: stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask a person; only yes is yes. Unlike typer's own this leaves stdout to the result."""
    print(f"oomctl: {question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.buffer.readline().strip().lower() in (b"y", b"yes")


def discard(stream: TextIO | None) -> None:
    """Drop what a failed stream still holds, lest the interpreter's flush at exit fail on it."""
    if stream is None:  # >&-
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def detail(text: str) -> None:
    """Say something that only `-v` asks for."""
    if verbose():
        note(text)


def verbose_steps() -> None:
    """Say each long step wherever stderr goes: for a command that is all about them."""
    global _shows_steps
    _shows_steps = True


@contextmanager
def quiet() -> Iterator[None]:
    """Leave the steps of each round unsaid while a bar counts the rounds."""
    global _is_quiet
    before, _is_quiet = _is_quiet, True
    try:
        yield
    finally:
        _is_quiet = before


def progress(text: str) -> None:
    """Say what a long step is doing, where a person watches (stderr is a terminal) or `-v` asks."""
    if verbose() or _shows_steps or (sys.stderr.isatty() and not _is_quiet):
        note(text)


def progress_bar(what: str, done: int, total: int) -> None:
    """Show how far a long step is, on one line that is wiped when done; terminals only."""
    global _bar
    if sys.stderr.isatty() and not _is_quiet:
        end_bar()
        _bar = "" if done >= total else printable(f"oomctl: {what} {done}/{total}")
        _draw()


def end_bar() -> None:
    """Wipe the bar for good."""
    global _bar
    if _bar:
        _wipe()
        _bar = ""


@contextmanager
def wiped() -> Iterator[None]:
    """Take the bar off its line while something else is written to the terminal."""
    _wipe()
    yield
    _draw()


def _draw() -> None:
    with suppress(OSError):  # the terminal was closed meanwhile
        if _bar:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(_bar[: width - 1], end="", file=sys.stderr, flush=True)


def _wipe() -> None:
    with suppress(OSError):
        if _bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
