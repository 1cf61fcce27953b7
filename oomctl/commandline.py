"""The command line that oomctl was started with, as its advice repeats it."""

import shlex
from collections.abc import Sequence

_DECLARING = ("declare", "run", "smoke")
_PARENT = "--parent"
_words: tuple[str, ...] = ()


def remember(words: Sequence[str]) -> None:
    """Keep the words after the program's name."""
    global _words
    _words = tuple(words)


def in_lab() -> str:
    """Return the command that does the same in the lab, in backticks.

    For a command that declares nothing it is `oomctl declare`, which is what is wanted in the end.
    """
    return f"`oomctl lab run -- {shlex.join(_own())}`"


def in_scope() -> str:
    """Return the command that makes the same tree in a delegated scope of its own, in backticks."""
    words = _own() if _own()[1] == "run" else ("oomctl", "run", "FILE")
    scope = ("systemd-run", "--scope", "-p", "Delegate=yes")
    return f"`{shlex.join((*scope, *_with_parent_self(words)))}`"


def _own() -> tuple[str, ...]:
    declaring = _words and _words[0] in _DECLARING
    return ("oomctl", *(_words if declaring else ("declare",)))


def _with_parent_self(words: Sequence[str]) -> list[str]:
    """Replace --parent, in whichever of its two forms, by `--parent self`."""
    left, rest = list(words), []
    while left:
        word = left.pop(0)
        if word == _PARENT:
            del left[:1]
        elif not word.startswith(f"{_PARENT}="):
            rest.append(word)
    return [*rest[:2], _PARENT, "self", *rest[2:]]
