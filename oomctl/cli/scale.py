"""The option --scale of commands that write a scenario."""

import re
from contextlib import suppress
from fractions import Fraction
from typing import Annotated

import typer

from oomctl.cli.options import value
from oomctl.text import cut

_SCALE = re.compile(r"[0-9]{1,9}/[0-9]{1,9}|[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)


def scale(value: str | Fraction) -> Fraction:
    """Parse a scale such as 1/64 or 0.25, above 0 and up to 1."""
    if isinstance(value, Fraction):
        return value
    if _SCALE.fullmatch(value):
        with suppress(ZeroDivisionError):
            if 0 < (parsed := Fraction(value)) <= 1:
                return parsed
    raise typer.BadParameter(f"{cut(value)!r} is not a scale: one is 1 or less, such as 1/64")


Scale = Annotated[
    Fraction,
    value("SCALE", "Sizes and limits of the scenario times this, such as 1/64.", scale),
]
