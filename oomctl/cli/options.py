"""Options that several commands have, and parsers of option values.

Each parser says what was given and what to write instead.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from oomctl.units import parse_size

OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the result there, not to stdout (-).",
        callback=lambda path: None if path == Path("-") else path,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say each step, and the logs behind an error.")
]


def _regular(path: Path | None) -> Path | None:
    """Refuse what insmod would wait for or read without end."""
    if path is not None and not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file")
    return path


Module = Annotated[
    Path | None,
    typer.Option(
        "--module",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        readable=True,
        callback=_regular,
        help="Load this module for the kfunc, instead of one built from oomctl's source.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be made, written and called; touch nothing."),
]

_WHOLE = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})", re.ASCII)


def size(value: str | int) -> int:
    """Parse bytes, with K, M, G as powers of 1024."""
    if isinstance(value, int):  # typer parses a default too
        return value
    try:
        return parse_size(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def integer(low: int, high: int) -> Callable[[str | int], int]:
    """Return a parser of whole numbers from `low` to `high`, decimal or 0x hexadecimal."""

    def parse(value: str | int) -> int:
        if isinstance(value, int):
            return value
        if not _WHOLE.fullmatch(value):
            raise typer.BadParameter(f"{value!r} is not a whole number of at most 64 bits")
        number = int(value, 16 if "x" in value.lower() else 10)
        if not low <= number <= high:
            raise typer.BadParameter(f"{number} is out of range; it goes from {low} to {high}")
        return number

    return parse


def seconds(low: float, high: float) -> Callable[[str | float], float]:
    """Return a parser of a time from `low` to `high` seconds."""

    def parse(value: str | float) -> float:
        if isinstance(value, str) and not value.isascii():  # float() takes digits of any script
            raise typer.BadParameter(f"{value!r} is not a number of seconds")
        try:
            number = float(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a number of seconds") from None
        if not low <= number <= high:  # so is not-a-number
            raise typer.BadParameter(f"{value} is out of range; it goes from {low:g} to {high:g}")
        return number

    return parse
