"""The sysctls of a scenario: TOML nests them by their dots, the kernel's names are flat. Pure."""

import re
from collections.abc import Iterator, Mapping

from oomctl.scenario import patterns
from oomctl.scenario.values import FieldError
from oomctl.scenario.words import shown

_NAME = re.compile(patterns.SYSCTL_PART)
_VALUE = re.compile(patterns.WORDS)
LONGEST = 200
"""Characters of a value, or of a whole name."""


def sysctls(value: object) -> dict[str, str]:
    """Parse a table of sysctls, nested or by quoted names, into values by name."""
    if not isinstance(value, Mapping):
        raise FieldError(f"{shown(value)} is not a table", "write such as vm.swappiness = 0")
    found: dict[str, str] = {}
    for name, text in _flat((), value):
        if name in found:
            raise FieldError(f"{name} is given twice", "leave one of them")
        found[name] = text
    return found


def _flat(above: tuple[str, ...], table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        path = (*above, *key.split("."))
        name = ".".join(path)
        if not all(map(_NAME.fullmatch, path)) or len(name) > LONGEST:
            raise FieldError(f"{shown(name)} is not a sysctl", "write such as vm.swappiness")
        if isinstance(value, Mapping):
            yield from _flat(path, value)
        elif len(path) == 1:
            raise FieldError(f"{shown(name)} is not a sysctl", "write such as vm.swappiness")
        else:
            yield name, _text(name, value)


def _text(name: str, value: object) -> str:
    text = str(value) if isinstance(value, int) and value.bit_length() <= 64 else value
    if isinstance(value, bool) or not isinstance(text, str) or len(text) > LONGEST:
        raise FieldError(f"{name}: {shown(value)} is not a value", "write a whole number or a text")
    if not _VALUE.fullmatch(text):
        raise FieldError(f"{name}: {shown(text)} is not a value", "write words on one line")
    return text
