"""Which renderer has which form of runs; each is imported when it is used."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Literal

from oomctl.rounds.run import Section

RunFormat = Literal["table", "json", "jsonl", "markdown", "ktap", "junit"]
"""All forms but those that show a single round."""


def _late(module: str, function: str) -> Callable[[Sequence[Section]], str]:
    def render(sections: Sequence[Section]) -> str:
        text: str = getattr(import_module(f"oomctl.report.{module}"), function)(sections)
        return text

    return render


RENDERERS: Mapping[str, Callable[[Sequence[Section]], str]] = {
    "table": _late("runs_text", "render_table"),
    "json": _late("runs_json", "render"),
    "jsonl": _late("runs_json", "render_lines"),
    "markdown": _late("runs_text", "render_markdown"),
    "ktap": _late("ktap", "render_runs"),
    "junit": _late("junit", "render_runs"),
}
