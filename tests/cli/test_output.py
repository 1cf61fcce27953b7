import io
import sys

import pytest

from oomctl import console
from oomctl.cli.output import Output
from oomctl.errors import UsageError

HOSTILE = "naïve \udcff 名\n"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", rb"na\xefve \udcff \u540d"),
        ("latin-1", b"na\xefve \\udcff \\u540d"),
        ("utf-8", "naïve \\udcff 名".encode()),
    ],
)
def test_stdout_escapes_what_its_encoding_lacks(monkeypatch, encoding, written):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with Output(None) as place:
        place.write(HOSTILE)
    assert raw.getvalue() == written + b"\n"


def test_a_file_is_utf8_whatever_the_locale(tmp_path):
    with Output(tmp_path / "f") as place:
        place.write(HOSTILE)
    assert (tmp_path / "f").read_bytes() == "naïve \\udcff 名\n".encode()


def test_a_closed_stdout_is_said_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(UsageError, match="stdout is closed"):
        Output(None).__enter__()


@pytest.mark.parametrize("name", ["x", "a b", "-", ".hidden"])
def test_nothing_is_left_of_a_file_that_was_not_written(tmp_path, name):
    with pytest.raises(RuntimeError), Output(tmp_path / name):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_notes_escape_what_a_terminal_would_act_on(capsys):
    console.note("a\tb \x1b[31m\ncut")
    assert capsys.readouterr() == ("", "oomctl: a       b \\x1b[31m\\ncut\n")


def test_details_and_progress_are_for_those_who_ask(capsys):
    console.detail("step")
    console.progress("step")
    console.progress_bar("step", 1, 2)
    assert capsys.readouterr().err == ""
    console.set_verbosity(1)
    console.detail("step")
    console.progress("step")
    assert capsys.readouterr().err == "oomctl: step\noomctl: step\n"


@pytest.mark.parametrize("answer", [b"y\n", b" YES \n", b"\xff\n", b"n\n", b""])
def test_an_answer_may_be_any_bytes(monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(answer), "utf-8"))
    assert console.ask("really?") is (answer.strip().lower() in (b"y", b"yes"))
