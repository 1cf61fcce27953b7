"""What a command imports, which is most of what its start takes: no more than it needs."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from oomctl.cli import app
app(sys.argv[1:], standalone_mode=False)
print(*sys.modules)
"""
LIBRARIES = {"pydantic", "psutil", "cgroupspy", "tabulate", "tomlkit", "tomllib", "json", "ctypes"}
FOLDERS = {
    *("bpf", "cgroup", "describe", "doctor", "experiment", "fuzz", "hog", "kmod", "lab", "oom"),
    *("proc", "report", "rounds", "scenario", "smoke"),
}


def imported(*words):
    """Return the libraries, and the folders of oomctl, of which a command imports anything."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True
    )
    names = done.stdout.splitlines()[-1].split()
    parts = [name.split(".") for name in names]
    own = {part[1] for part in parts if part[0] == "oomctl" and len(part) > 2}
    return {*names, *(part[0] for part in parts)} & LIBRARIES, own & FOLDERS


@pytest.mark.parametrize("words", ["--help", "--version", "lab --help", "kfunc -h"])
def test_a_list_of_commands_imports_none_of_their_parts(words):
    assert imported(*words.split()) == (set(), set())


def test_the_options_of_declare_are_a_plan_without_pydantic():
    libraries, folders = imported("declare", "--hog", "a=1M", "--memory-max", "4M", "--dry-run")
    assert libraries == set()
    assert folders == {"describe", "experiment", "oom", "proc", "scenario"}
    assert imported("declare", "--dry-run", "--format", "json")[0] == {"json"}


def test_what_reads_a_scenario_imports_pydantic():
    assert "pydantic" in imported("run", "examples/largest-dies.toml", "--dry-run")[0]


def test_the_help_of_declare_imports_nothing_that_declares():
    libraries, folders = imported("declare", "--help")
    assert libraries == set()
    assert folders <= {"oom", "scenario", "describe"}
