"""Renderers: one outcome, several forms."""

from collections.abc import Callable
from typing import Literal

from oomctl.outcome import Outcome
from oomctl.report import jsonout, markdown, table

Format = Literal["table", "json", "markdown"]

RENDERERS: dict[Format, Callable[[Outcome], str]] = {
    "table": table.render,
    "json": jsonout.render,
    "markdown": markdown.render,
}
