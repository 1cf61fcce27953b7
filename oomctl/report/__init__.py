"""Renderers: one outcome, several forms."""

from collections.abc import Callable
from importlib import import_module
from typing import Literal

from oomctl.oom.outcome import Outcome

Format = Literal["table", "json", "jsonl", "markdown", "html", "trace", "ktap", "junit"]


def _late(module: str) -> Callable[[Outcome], str]:
    """Return a renderer whose module is imported when it is used: start-up stays quick."""

    def render(outcome: Outcome) -> str:
        text: str = import_module(f"{__name__}.{module}").render(outcome)
        return text

    return render


def render(outcome: Outcome, output_format: Format, width: int | None = None) -> str:
    """Render an outcome; a table is made to fit a terminal of that width, if there is one."""
    if output_format == "table" and width:
        from oomctl.report import table

        return table.render(outcome, width)
    return RENDERERS[output_format](outcome)


RENDERERS: dict[Format, Callable[[Outcome], str]] = {
    "table": _late("table"),
    "json": _late("jsonout"),
    "jsonl": _late("jsonl"),
    "markdown": _late("markdown"),
    "html": _late("html"),
    "trace": _late("trace"),
    "ktap": _late("ktap"),
    "junit": _late("junit"),
}
