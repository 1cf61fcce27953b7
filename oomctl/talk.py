"""What oomctl says on stderr: notes, progress and details; stdout belongs to results."""

import os
import sys
from typing import TextIO

_verbosity = 0


def set_verbosity(level: int) -> None:
    """Set how much is said: 0 notes and errors, 1 each step and the logs behind an error."""
    global _verbosity
    _verbosity = level


def verbose() -> bool:
    """Tell whether `-v` was given."""
    return _verbosity > 0


def printable(text: str) -> str:
    r"""Return text that no terminal acts on: what is not printable becomes \x1b and the like."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that was not UTF-8, see PEP 383
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def note(text: str) -> None:
    """Say something that everybody should read, on one line."""
    try:
        print(f"oomctl: {printable(text.expandtabs())}", file=sys.stderr, flush=True)
    except OSError:  # nobody listens; the work goes on
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Drop what a failed stream still holds, lest the interpreter's flush at exit fail on it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def detail(text: str) -> None:
    """Say something that only `-v` asks for."""
    if verbose():
        note(text)


def progress(text: str) -> None:
    """Say what a long step is doing, where a person watches (stderr is a terminal) or `-v` asks."""
    if verbose() or sys.stderr.isatty():
        note(text)


def progress_bar(what: str, done: int, total: int) -> None:
    """Show how far a long step is, on one line that is wiped when done; terminals only."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if done >= total else ""
        print(f"\roomctl: {what} {done}/{total}\x1b[K{end}", end="", file=sys.stderr, flush=True)
