"""Bars and notes on one terminal."""

import os
import sys
from contextlib import contextmanager

import pytest

from oomctl import console
from oomctl.cli.output import Output
from tests.terminal import drained, opened, screen


@pytest.fixture(params=[80, 60, 20])
def terminal(request, monkeypatch):
    """Let stdout and stderr go to one terminal; the lines that a person sees come in the end."""
    monkeypatch.setenv("TERM", "xterm")

    @contextmanager
    def shown(*lines):
        master, slave = opened(request.param)
        streams = {name: os.fdopen(os.dup(slave), "w") for name in ("stdout", "stderr")}
        os.close(slave)
        with pytest.MonkeyPatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            yield
        for stream in streams.values():
            stream.close()
        found = screen(drained(master), request.param)
        os.close(master)
        assert found == [*lines]

    return shown


def test_a_note_wipes_the_bar_and_the_bar_comes_back(terminal):
    with terminal("oomctl: one", "oomctl: two", "oomctl: lock 3/4"):
        console.progress_bar("lock", 2, 4)
        console.note("one")
        console.progress_bar("lock", 3, 4)
        console.note("two")


def test_a_result_wipes_the_bar(terminal):
    with terminal("ok 1", "ok 2", "oomctl: b 2/4"), Output(None) as place:
        console.progress_bar("a", 1, 4)
        place.write("ok 1\n")
        console.progress_bar("b", 2, 4)
        place.write("ok 2\n")


@pytest.mark.parametrize("end", [console.end_bar, lambda: console.progress_bar("long", 4, 4)])
def test_nothing_is_left_of_a_bar(terminal, end):
    with terminal("oomctl: done", ""):
        console.progress_bar("a case with quite a long name, " * 9, 1, 4)
        console.progress_bar("a case with quite a long name, " * 9, 2, 4)
        end()
        console.note("done")


def test_what_a_guest_says_stands_above_the_bar(terminal):
    with terminal("guest: 2 hogs", "half", "oomctl: b 2/4"):
        foreign = console.Foreign()
        console.progress_bar("a", 1, 4)
        foreign.take(b"guest: ")
        console.progress_bar("b", 2, 4)
        foreign.take(b"2 hogs\nhalf")
        foreign.end()


def test_a_dumb_terminal_has_no_bar(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with terminal("oomctl: one", ""):
        console.progress_bar("lock", 2, 4)
        console.note("one")


def test_the_next_step_is_for_people_only(terminal, capsys):
    console.next_step("look")
    assert capsys.readouterr().err == ""
    with terminal("oomctl: look", ""):
        console.next_step("look")
