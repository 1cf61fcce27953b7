"""A scenario as TOML text with comments. Pure."""

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oomctl.text import printable

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 100

Value = str | int | bool | Sequence[str]


@dataclass
class TomlTable:
    """A table: the parts of its name, comments above it, and values with a comment behind each.

    A dot in a key is a nested key, as in `memory.max`. An array's item has `[[name]]`.
    """

    name: Sequence[str] = ()
    comments: Sequence[str] = ()
    is_item: bool = False
    values: dict[str, tuple[Value, str]] = field(default_factory=dict)

    def set(self, key: str, value: Value, comment: str = "") -> None:
        """Set a key."""
        self.values[key] = value, comment

    def lines(self) -> Iterable[str]:
        """Yield its lines."""
        for text in self.comments:
            yield from comment(text)
        if self.name:
            name = ".".join(part if _BARE.fullmatch(part) else _quoted(part) for part in self.name)
            yield f"[[{name}]]" if self.is_item else f"[{name}]"
        for key, (value, behind) in self.values.items():
            line = f"{key} = {_value(value)}"
            above = f"{line}  # {printable(behind)}"
            if behind and len(above) > _WIDTH:
                yield from comment(behind)
            yield above if behind and len(above) <= _WIDTH else line


def document(tables: Iterable[TomlTable]) -> str:
    """Return the text of the tables, with an empty line in between."""
    return "\n".join("".join(f"{line}\n" for line in table.lines()) for table in tables)


def comment(text: str) -> Iterable[str]:
    """Yield the lines of a comment; the later lines of an item `- text` are indented."""
    begin = "#   " if text.startswith("- ") else "# "
    wrapped = textwrap.wrap(
        printable(text),
        _WIDTH,
        initial_indent="# ",
        subsequent_indent=begin,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return wrapped or ["#"]


def exact_size(size: int | None) -> int | str:
    """Return bytes as a scenario has them, exact: `64M`; `max` for None."""
    if size is None:
        return "max"
    for power, unit in ((30, "G"), (20, "M"), (10, "K")):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return size


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _quoted(value)
        case _:
            return f"[{', '.join(map(_quoted, value))}]"


def _quoted(text: str) -> str:
    """Return a basic string; of a text that is printable, JSON's form is TOML's too."""
    return json.dumps(text, ensure_ascii=False)
