"""Keys and values of a scenario in a sentence, on one line whatever they hold. Pure."""

import difflib
import json
import re
from collections.abc import Collection

from oomctl.text import cut

Path = tuple[str | int, ...]
"""Where a value is in a file: keys, and positions in arrays."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def dotted(path: Path) -> str:
    """Return a path as TOML writes a key: `cgroup."left/inner".memory.max`, `call[0].wait`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = _BARE.fullmatch(part)
            text += ("." if text else "") + (part if bare else json.dumps(cut(part)))
    return text


def shown(value: object) -> str:
    """Return a value as a sentence can name it: a scalar as it is written, else what it is."""
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
