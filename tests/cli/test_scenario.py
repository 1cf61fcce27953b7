import json
from fractions import Fraction

import pytest
from typer.testing import CliRunner

from oomctl.cli import app
from oomctl.cli.rebuilt import tell
from oomctl.scenario.rebuild import Rebuilt


def run(*arguments):
    return CliRunner().invoke(app, ["scenario", *map(str, arguments)])


@pytest.fixture
def write(tmp_path):
    def to(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return to


def test_the_schema_is_printed():
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "oomctl scenario"


def test_valid_files_are_counted(write):
    one = write("one.toml", "[hog.a]\nsize = 1\ncount = 2\n[[call]]\ncallers = 2\nrepeat = 3")
    two = write("two.toml", "[[call]]")
    three = write("three.toml", "call = []\n[[step]]\nfreeze = '.'\nthaw = '.'")
    result = run("check", one, two, three)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{one}: valid: 3 cgroups, 2 hogs, 6 calls",
        f"{two}: valid: 1 cgroup, 0 hogs, 1 call",
        f"{three}: valid: 1 cgroup, 0 hogs, 0 calls, 1 step",
    ]


def test_every_fault_of_every_file_is_a_line_on_stderr(write):
    bad = write("bad.toml", "tiemout = 1\n[hog.a]\nsize = 1\nsise = 2")
    good = write("good.toml", "[hog.a]\nsize = 1")
    huge = write("huge.toml", "[hog.a]\nsize = '1P'")
    result = run("check", bad, good, huge)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert lines[:2] == [
        f"oomctl: {bad}: hog.a.sise: no such key; did you mean 'size'?",
        f"oomctl: {bad}: tiemout: no such key; did you mean 'timeout'?",
    ]
    assert lines[2].startswith(f"oomctl: {huge}: hog.a.size: hog 'a' wants 1P but this machine has")
    assert len(lines) == 3


def test_overrides_are_checked_too(write):
    path = write("x.toml", "[hog.a]\nsize = 1")
    assert run("check", path, "--set", "hog.a.size=1M", "--set", "timeout=3").exit_code == 0
    result = run("check", path, "--set", "hog.a.size=1Q", "--set", "x")
    assert result.exit_code == 2
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "--set",
        "--set hog.a.size",
    ]


def test_a_file_is_needed():
    assert run("check").exit_code == 2


def test_no_file_is_replaced_by_the_scenario_of_a_cgroup(write):
    there = write("there.toml", "x = 1")
    result = run("from", "whatever", "-o", there)
    assert (result.exit_code, there.read_text()) == (2, "x = 1")
    assert result.stderr == f"oomctl: {there} is there already; name a new file\n"
    result = run("from", "whatever", "-o", there.parent / "no" / "where.toml")
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


@pytest.mark.parametrize("scale", ["0", "2", "1/0", "-1", "x", "1e9", "1/2/3", "٣", "0/5"])
def test_what_is_no_scale(scale):
    result = run("from", "whatever", "--scale", scale)
    assert result.exit_code == 2
    assert "is not a scale: one is 1 or less, such as 1/64" in result.stderr


def test_a_scale_is_named_that_fits_this_machine(monkeypatch, capsys):
    made = Rebuilt("", wanted=100 << 30, victim=None, notes=())
    monkeypatch.setattr("oomctl.proc.meminfo.total", lambda: 4 << 30)
    tell(made, Fraction(1))
    assert "want 100G, but this machine has 4G: --scale 1/64 would fit" in capsys.readouterr().err
