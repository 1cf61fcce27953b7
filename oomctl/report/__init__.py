"""Renderers: each result in several forms. A renderer is imported when it is used, so that the
start of a command stays quick.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Literal

Format = Literal["table", "json", "jsonl", "markdown", "html", "trace", "ktap", "junit"]
RunFormat = Literal["table", "json", "jsonl", "markdown", "ktap", "junit"]
"""The forms that can show many rounds."""
ShortFormat = Literal["table", "json", "markdown"]
DoctorFormat = Literal["table", "json"]


def _late(module: str, function: str = "render") -> Callable[..., str]:
    def render(*args: object) -> str:
        text: str = getattr(import_module(f"{__name__}.{module}"), function)(*args)
        return text

    return render


RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": _late("outcome_parts", "render_text"),
    "json": _late("json_forms", "render_outcome"),
    "jsonl": _late("json_forms", "render_outcome_lines"),
    "markdown": _late("outcome_parts", "render_markdown"),
    "html": _late("html"),
    "trace": _late("trace"),
    "ktap": _late("ktap"),
    "junit": _late("junit"),
}
"""Take an outcome; "table" also the width of the terminal."""

RUN_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": _late("run_parts", "render_text"),
    "json": _late("json_forms", "render_runs"),
    "jsonl": _late("json_forms", "render_run_lines"),
    "markdown": _late("run_parts", "render_markdown"),
    "ktap": _late("ktap", "render_runs"),
    "junit": _late("junit", "render_runs"),
}
"""Take the sections of a record."""

COMPARISON_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": _late("comparison_parts", "render_text"),
    "json": _late("json_forms", "render_comparison"),
    "markdown": _late("comparison_parts", "render_markdown"),
}
"""Take a comparison and the names of its records."""

PREDICTION_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": _late("prediction_parts", "render_text"),
    "json": _late("json_forms", "render_prediction"),
    "markdown": _late("prediction_parts", "render_markdown"),
}
"""Take a prediction, its target, the number of tasks to show; "table" also the terminal's width."""

DOCTOR_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": _late("doctor_parts", "render_text"),
    "json": _late("json_forms", "render_examination"),
}
"""Take an examination; "table" also the width of the terminal."""


def render(
    renderers: Mapping[str, Callable[..., str]],
    output_format: str,
    *about: object,
    terminal: int | None,
) -> str:
    """Render something in one of its forms; only a table uses the width of the terminal."""
    more = (terminal,) if output_format == "table" else ()
    return renderers[output_format](*about, *more)
