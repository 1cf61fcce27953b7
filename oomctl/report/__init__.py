"""Renderers: each result in several forms. A renderer is imported when it is used, so that the
start of a command stays quick.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, TypeVar, cast, get_args

from oomctl import console, lazy

CaseFormat = Literal["ktap", "junit", "tap", "lava", "lava-lines", "kcidb", "tmt", "ltp", "csv"]
"""The forms of test harnesses, each a writer over the case table."""
Format = Literal["table", "json", "jsonl", "markdown", "html", "trace", CaseFormat]
ShortFormat = Literal["table", "json", "markdown", "html", "csv"]
PlainFormat = Literal["table", "json"]
Rendered = TypeVar("Rendered")


def _cases(fill: str) -> dict[str, Callable[..., str]]:
    """Return renderers that fill the case table by a function of testcases.py."""

    def render_as(form: str, about: object) -> str:
        table = lazy.load(f"report.testcases:{fill}")(about)
        text: str = lazy.load("report.casetable:render")(form, table)
        return text

    return {form: partial(render_as, form) for form in get_args(CaseFormat)}


RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.outcome_parts:render_text"),
    "json": lazy.function("report.json_forms:render_outcome"),
    "jsonl": lazy.function("report.json_forms:render_outcome_lines"),
    "markdown": lazy.function("report.outcome_parts:render_markdown"),
    "html": lazy.function("report.html:render"),
    "trace": lazy.function("report.trace:render"),
    **_cases("of_outcome"),
}
"""Take an outcome; "table" also the width of the terminal."""

RUN_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.run_parts:render_text"),
    "json": lazy.function("report.json_forms:render_runs"),
    "jsonl": lazy.function("report.json_forms:render_run_lines"),
    "markdown": lazy.function("report.run_parts:render_markdown"),
    "html": lazy.function("report.run_html:render"),
    **_cases("of_sections"),
}
"""Take the sections of a record; "table" also the width of the terminal."""

SMOKE_RENDERERS: Mapping[str, Callable[..., str]] = {
    **{
        form: partial(lazy.function("report.smoke_saved:render"), form)
        for form in ("table", "json", "jsonl", "markdown", *get_args(CaseFormat))
    },
    "html": lazy.function("report.smoke_html:render"),
}
"""Take the reports of the suite, of one kernel or of several; "table" also the width."""

COMPARISON_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.comparison_parts:render_text"),
    "json": lazy.function("report.comparison_json:render_comparison"),
    "csv": lazy.function("report.comparison_json:render_csv"),
    "markdown": lazy.function("report.comparison_parts:render_markdown"),
    "html": lazy.function("report.comparison_html:render"),
}
"""Take a comparison and the names of its records; "table" also the width of the terminal."""

KERNELS_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.kernels_parts:render_text"),
    "json": lazy.function("report.kernels_parts:render_json"),
    "markdown": lazy.function("report.kernels_parts:render_markdown"),
    "html": lazy.function("report.kernels_html:render"),
    "csv": lazy.function("report.kernels_parts:render_csv"),
}
"""Take the rounds on several kernels; "table" also the width of the terminal."""

SUITES_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.smoke_comparison:render_text"),
    "json": lazy.function("report.smoke_comparison:render_json"),
    "markdown": lazy.function("report.smoke_comparison:render_markdown"),
    "html": lazy.function("report.smoke_html:render_comparison"),
    "csv": lazy.function("report.smoke_comparison:render_csv"),
}
"""Take the suite on several kernels; "table" also the width of the terminal."""

FLEET_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.fleet_parts:render_text"),
    "json": lazy.function("report.fleet_parts:render_json"),
    "markdown": lazy.function("report.fleet_parts:render_markdown"),
    "html": lazy.function("report.fleet_html:render"),
    "csv": lazy.function("report.fleet_parts:render_csv"),
}
"""Take the result of a fleet; "table" also the width of the terminal."""

KILLS_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.kills_saved:render_text"),
    **dict.fromkeys(("json", "jsonl"), lazy.function("report.kills_saved:render_lines")),
    "markdown": lazy.function("report.kills_saved:render_markdown"),
    "html": lazy.function("report.kills_html:render"),
    "csv": lazy.function("report.kills_saved:render_csv"),
}
"""Take saved kills of a watch; "table" also the width of the terminal."""

PREDICTION_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.prediction_parts:render_text"),
    "json": lazy.function("report.prediction_json:render_prediction"),
    "csv": lazy.function("report.prediction_json:render_csv"),
    "markdown": lazy.function("report.prediction_parts:render_markdown"),
    "html": lazy.function("report.prediction_html:render"),
}
"""Take a prediction, its target, the number of tasks to show, and the reasons and flips of those
that were asked about; "table" also the terminal's width.
"""

EXPLANATION_RENDERERS: Mapping[str, Callable[..., Iterator[str]]] = {
    "table": lazy.function("report.explanation_parts:render_text"),
    "json": lazy.function("report.explanation_json:render"),
    "csv": lazy.function("report.explanation_json:render_csv"),
    "markdown": lazy.function("report.explanation_parts:render_markdown"),
    "html": lazy.function("report.explanation_html:render"),
}
"""Take explanations, the name of the log, the number of tasks to show; "table" also the terminal's
width. They yield the result piece by piece: a log may hold a million kills.
"""

DOCTOR_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.doctor_parts:render_text"),
    "json": lazy.function("report.json_forms:render_examination"),
    "markdown": lazy.function("report.doctor_parts:render_markdown"),
    "html": lazy.function("report.doctor_html:render"),
    "csv": lazy.function("report.json_forms:render_examination_csv"),
}
"""Take an examination; "table" also the width of the terminal."""

FUZZ_RENDERERS: Mapping[str, Callable[..., str]] = {
    "table": lazy.function("report.fuzz_parts:render_text"),
    "json": lazy.function("report.fuzz_parts:render_json"),
    "markdown": lazy.function("report.fuzz_parts:render_markdown"),
    "html": lazy.function("report.fuzz_parts:render_html"),
    "csv": lazy.function("report.fuzz_parts:render_csv"),
}
"""Take the report of a hunt as plain values; "table" also the width of the terminal."""


def render(
    renderers: Mapping[str, Callable[..., Rendered]],
    output_format: str,
    *about: object,
    terminal: int | None,
) -> Rendered:
    """Render something in one of its forms; only a table uses the width and the colours of the
    terminal.
    """
    if output_format != "table":
        return renderers[output_format](*about)
    rendered = renderers[output_format](*about, terminal)
    if terminal is None or not console.has_colours():
        return rendered
    coloured = lazy.load("report.tones:coloured")
    if isinstance(rendered, str):
        return cast(Rendered, coloured(rendered))
    pieces = cast(Iterator[str], rendered)
    return cast(Rendered, map(coloured, pieces))
