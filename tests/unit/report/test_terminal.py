"""What a person sees on terminals of 60, 80 and 120 columns, with colours and without."""

import re

import pytest

from oomctl import console
from oomctl.console import has_colours
from oomctl.report import (
    COMPARISON_RENDERERS,
    PREDICTION_RENDERERS,
    RENDERERS,
    RUN_RENDERERS,
    SMOKE_RENDERERS,
    render,
    tones,
)
from tests.outcomes import OUTCOMES
from tests.unit.report.pages import comparison, predicted, run_of, suite

SHOWN = {
    "a kill": (RENDERERS, OUTCOMES["default"]),
    "a wrong victim": (RENDERERS, OUTCOMES["wrong"]),
    "a group": (RENDERERS, OUTCOMES["reaped"]),
    "rounds": (RUN_RENDERERS, [run_of("alone")]),
    "variants": (RUN_RENDERERS, [run_of("beside")]),
    "a comparison": (COMPARISON_RENDERERS, *comparison()),
    "the suite": (SMOKE_RENDERERS, suite()[:1]),
    "two kernels": (SMOKE_RENDERERS, suite()),
    "a prediction": (PREDICTION_RENDERERS, *predicted()),
}
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture
def colours(monkeypatch, request):
    monkeypatch.setattr(console, "has_colours", lambda: request.param)
    return request.param


def screen(width):
    return "".join(
        f"$ {name}\n{render(renderers, 'table', *about, terminal=width)}\n"
        for name, (renderers, *about) in SHOWN.items()
    )


@pytest.mark.parametrize("colours", [False], indirect=True)
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.usefixtures("colours")
def test_golden(golden, width):
    text = screen(width)
    golden(f"terminal-{width}.txt", text)
    wide = [line for line in text.splitlines() if len(line) > width]
    assert wide == []


@pytest.mark.parametrize("colours", [True], indirect=True)
@pytest.mark.usefixtures("colours")
def test_golden_in_colour(golden):
    golden("terminal-colour.txt", screen(80).replace("\x1b", "\\e"))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_colours_move_nothing(width, monkeypatch):
    monkeypatch.setattr(console, "has_colours", lambda: False)
    plain = screen(width)
    monkeypatch.setattr(console, "has_colours", lambda: True)
    coloured = screen(width)
    assert ESCAPES.sub("", coloured) == plain
    assert coloured != plain


@pytest.mark.parametrize("form", ["markdown", "json", "csv"])
def test_other_forms_have_no_colour(form, monkeypatch):
    monkeypatch.setattr(console, "has_colours", lambda: True)
    assert "\x1b" not in render(RENDERERS, form, OUTCOMES["default"], terminal=80)


def test_a_pipe_has_no_colour(monkeypatch):
    monkeypatch.setattr(console, "has_colours", lambda: True)
    assert "\x1b" not in render(RENDERERS, "table", OUTCOMES["default"], terminal=None)


@pytest.mark.parametrize(
    ("environment", "has"),
    [
        *[({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False)],
        *[({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "xterm", "NO_COLOR": ""}, True)],
    ],
)
def test_the_environment_decides(environment, has, monkeypatch):
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert has_colours() is has


@pytest.mark.parametrize(
    ("plain", "coloured"),
    [
        ("verdict   killed: yes", "verdict   \x1b[32mkilled\x1b[0m: yes"),
        ("verdict   busy: no", "verdict   \x1b[31mbusy\x1b[0m: no"),
        ("3 passed, 0 failed", "\x1b[32m3 passed\x1b[0m, 0 failed"),
        ("a  survived", "a  \x1b[32msurvived\x1b[0m"),
        ("passed  failed\n------  ------", "passed  failed\n\x1b[2m------  ------\x1b[0m"),
        ("the task failed in the same way", "the task failed in the same way"),
    ],
)
def test_a_word_has_a_colour_only_where_it_means_something(plain, coloured):
    assert tones.coloured(plain) == coloured
