"""What is wrong with a scenario: where, what, and what to write instead, each on one line. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from oomctl.errors import UsageError
from oomctl.text import cut, printable

Path = tuple[str | int, ...]
"""Where a value is in a file: keys, and positions in arrays."""

OVERRIDE, VARY = "--set", "--vary"
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class FieldError(ValueError):
    """A value that a key cannot have: what is wrong with it, and what to write instead."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True)
class Fault:
    """One fault: the path of the key, what is wrong with it, what to write instead.

    `where` is the file, `--set` or `--vary`; without it the line has no path either. `rests_on` are
    the other keys that the fault follows from: it is left out if one of them is at fault itself.
    """

    path: Path
    what: str
    hint: str = ""
    rests_on: tuple[Path, ...] = ()
    where: str = ""

    @property
    def line(self) -> str:
        """The fault on one line: `FILE: key.path: what; hint`."""
        what = f"{self.what}; {self.hint}" if self.hint else self.what
        place = [self.where] if self.where else []
        if self.where and self.path:
            place.append(dotted(self.path))
        between = " " if self.where in (OVERRIDE, VARY) else ": "
        return printable(f"{between.join(place)}: {what}" if place else what)


_MOST_LINES = 30


class ScenarioError(UsageError):
    """A scenario with faults, all of them at once; each is a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults, one line each; of very many the first, and how many more there are."""
        lines = tuple(dict.fromkeys(fault.line for fault in self.faults))
        if len(lines) <= _MOST_LINES:
            return lines
        return *lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES} more faults"


@dataclass(frozen=True)
class Origin:
    """Where a scenario's values were written: in `file`, by `--set` or `--vary`, or as options.

    `overrides` are the paths that --set and --vary changed, each with the option. `spelled` are
    phrases of messages and the options that replace them, for a scenario that no file holds.
    """

    file: str = ""
    overrides: tuple[tuple[Path, str], ...] = ()
    spelled: tuple[tuple[str, str], ...] = ()

    def __call__(self, fault: Fault) -> Fault:
        """Return the fault with the place where its author can find it."""
        by = [option for path, option in self.overrides if _within(fault.path, path)]
        what, hint = fault.what, fault.hint
        for phrase, option in self.spelled:
            what, hint = what.replace(phrase, option), hint.replace(phrase, option)
        return Fault(fault.path, what, hint, where=by[-1] if by else self.file)


def _within(path: Path, above: Path) -> bool:
    return path[: len(above)] == above


def independent(faults: Iterable[Fault], known: Iterable[Fault]) -> list[Fault]:
    """Return the faults that do not follow from those which are known already."""
    broken = {fault.path for fault in known}
    return [
        fault
        for fault in faults
        if not any(_within(path, each) for path in (fault.path, *fault.rests_on) for each in broken)
    ]


def dotted(path: Path) -> str:
    """Return a path as TOML writes a key: `cgroup."left/inner".memory.max`, `call[0].wait`."""
    import json

    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (
                part if _BARE.fullmatch(part) else json.dumps(cut(part))
            )
    return text


def shown(value: object) -> str:
    """Return a value for a message: a scalar as it is written, a table or an array by its type."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return repr(cut(value))
        case int():
            return str(value) if value.bit_length() < 128 else "such a large number"
        case float():
            return str(value)
        case dict():
            return "a table"
        case list():
            return "an array"
    return "a date or time"


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was most likely meant, if one is near enough."""
    import difflib  # for faults only

    found = difflib.get_close_matches(cut(name), known, 1, 0.6)
    return found[0] if found else None


def instead(name: str, known: Collection[str], none: str = "") -> str:
    """Say what to write for an unknown name: the nearest known one, or all of them."""
    if near := nearest(name, known):
        return f"did you mean '{near}'?"
    if not known:
        return none
    names = sorted(known) if isinstance(known, (set, frozenset)) else list(known)
    more = ", ..." if len(names) > 20 else ""
    return f"known are {', '.join(names[:20])}{more}"
