"""What a person sees on terminals of 60, 80 and 120 columns, with colours and without."""

import re

import pytest

from oomctl import console
from oomctl.console import has_colours
from oomctl.report import RENDERERS, render, tones
from tests.outcomes import OUTCOMES
from tests.unit.report.pages import RESULTS

SHOWN = {
    "a kill": (RENDERERS, OUTCOMES["default"]),
    "a wrong victim": (RENDERERS, OUTCOMES["wrong"]),
    "a group": (RENDERERS, OUTCOMES["reaped"]),
    **{name: (renderers, *about) for name, (renderers, _form, about) in RESULTS.items()},
}
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture
def colours(monkeypatch, request):
    monkeypatch.setattr(console, "has_colours", lambda: request.param)
    return request.param


def screen(width):
    return "".join(
        f"$ {name}\n{''.join(render(renderers, 'table', *about, terminal=width))}\n"
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
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.usefixtures("colours")
def test_golden_in_colour(golden, width):
    golden(f"terminal-{width}-colour.txt", screen(width).replace("\x1b", "\\e"))


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
        (
            "10:00:01.000  Web Content:7 killed (victim), rss 1M",
            "10:00:01.000  \x1b[31mWeb Content:7 killed (victim)\x1b[0m, rss 1M",
        ),
        (
            "10:00:01.000  a:7 killed (exiting), rss 1M",
            "10:00:01.000  \x1b[33ma:7 killed (exiting)\x1b[0m, rss 1M",
        ),
        (
            "a:1  b:2  sharer       64M      0  memcg",
            "a:1  b:2  \x1b[31msharer\x1b[0m       64M      0  memcg",
        ),
        ("a hog  victim  9  survived", "a hog  victim  9  \x1b[32msurvived\x1b[0m"),
        ("m1  kernel-died  6.12", "m1  \x1b[31mkernel-died\x1b[0m  6.12"),
        ("the task failed in the same way", "the task failed in the same way"),
    ],
)
def test_a_word_has_a_colour_only_where_it_means_something(plain, coloured):
    assert tones.coloured(plain) == coloured
