"""`oomctl fleet` with a real kernel, over a local connection."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl.journal.file import Journal

CASE = "arguments.order-minus-1"


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Run a command on one host; return the result, and what it wrote for people."""
    monkeypatch.chdir(tmp_path)
    Path("hosts").mkdir()

    def run(*words, expendable="false"):
        variables = f"oomctl_folder={tmp_path}/hosts oomctl_expendable={expendable}"
        python = f"ansible_python_interpreter={sys.executable}"
        Path("inventory").write_text(f"m1 ansible_connection=local {variables} {python}\n")
        options = ["-i", "inventory", "--records", f"kept-{len([*Path().glob('kept-*')])}"]
        command = [sys.executable, "-m", "oomctl", "fleet", *options, "-f", "json", "--", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not [*Path("hosts").iterdir()]
        (host,) = json.loads(done.stdout)["hosts"]
        assert host["exit"] == done.returncode, done.stderr
        return host, json.loads(done.stdout)["comparison"]

    return run


def test_a_case_and_a_system_wide_call_of_an_expendable_host(fleet):
    host, comparison = fleet("smoke", CASE, expendable="true")
    assert (host["state"], host["exit"], host["begun"]) == ("done", 0, CASE)
    assert [case["result"] for case in comparison["kernels"][0]["cases"]] == ["passed"]
    wanted = ["--hog", "big=16M,adj=1000"]
    host, comparison = fleet("declare", "--global", *wanted, expendable="true")
    assert (host["state"], host["exit"], host["counts"]) == ("done", 0, {"rounds": {"killed": 1}})
    assert comparison["kernels"][0]["runs"][0]["scenario"] == "declare"


def test_another_oomctl_on_the_host_is_a_line(fleet):
    with Journal():
        host, comparison = fleet("smoke", CASE)
    assert (host["state"], host["exit"], comparison) == ("refused", 3, None)
    assert host["reason"].startswith("another oomctl (pid ")
