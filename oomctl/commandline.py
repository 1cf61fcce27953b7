"""The command line of oomctl, for hints that repeat it."""

import itertools
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

_DECLARING = ("declare", "run", "smoke")
_PARENT = "--parent"
_WRITING = ("-o", "--output", "--record")
_NO_DISK = ("/dev", "/proc")
_words: tuple[str, ...] = ()
_saved: Mapping[str, str] | None = None


def remember(words: Sequence[str]) -> None:
    """Keep the words after the program's name."""
    global _words
    _words = tuple(words)


@contextmanager
def of(saved: Mapping[str, str]) -> Iterator[None]:
    """Let origin() return that of a saved result, which is shown again."""
    global _saved
    before, _saved = _saved, saved
    try:
        yield
    finally:
        _saved = before


def origin() -> dict[str, str]:
    """Return the host, this command as it is typed in a shell, and the time, in ISO 8601."""
    if _saved is not None:
        return dict(_saved)
    return {
        "host": platform.node(),
        "command": shlex.join(("oomctl", *_words)),
        "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
    }


def in_lab() -> str:
    """Return the command that does the same in the lab, in backticks.

    For a command that declares nothing it is `oomctl declare`. `--rwdir` names the folders of the
    results: anything that the guest writes elsewhere is lost.
    """
    own = _own()
    given = [word for folder in _written_to(own) for word in ("--rwdir", folder)]
    return f"`{shlex.join(['oomctl', 'lab', 'run', *given, '--', *own])}`"


def in_scope() -> str:
    """Return the command that makes the same tree in a delegated scope, in backticks."""
    words = _own() if _own()[1] == "run" else ("oomctl", "run", "FILE")
    scope = ("systemd-run", "--scope", "-p", "Delegate=yes")
    return f"`{shlex.join((*scope, *_with_parent_self(words)))}`"


def _own() -> tuple[str, ...]:
    declaring = _words and _words[0] in _DECLARING
    return ("oomctl", *(_words if declaring else ("declare",)))


def _written_to(words: Sequence[str]) -> list[str]:
    """Return the folders of the files that a command writes, by its options."""
    found = []
    for word, following in itertools.pairwise((*words, "")):
        name, equals, value = word.partition("=")
        if word in _WRITING:
            found.append(following)
        elif equals and name in _WRITING:
            found.append(value)
        elif word.startswith("-o") and name != "-o":
            found.append(word[2:])
    folders = dict.fromkeys(Path(file).parent for file in found if file not in ("", "-"))
    on_disk = (each for each in folders if not any(map(each.is_relative_to, _NO_DISK)))
    return [str(each) for each in on_disk if str(each) != "/"]


def _with_parent_self(words: Sequence[str]) -> list[str]:
    """Replace --parent, in either of its forms, by `--parent self`."""
    left, rest = list(words), []
    while left:
        word = left.pop(0)
        if word == _PARENT:
            del left[:1]
        elif not word.startswith(f"{_PARENT}="):
            rest.append(word)
    return [*rest[:2], _PARENT, "self", *rest[2:]]
