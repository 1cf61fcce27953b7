import json

import pytest
from typer.testing import CliRunner

from oomctl.cli import app


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
    result = run("check", one, two)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{one}: valid: 3 cgroups, 2 hogs, 6 calls",
        f"{two}: valid: 1 cgroup, 0 hogs, 1 call",
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
