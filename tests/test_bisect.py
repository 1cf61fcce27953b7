"""examples/bisect.sh with an oomctl that looks into the tree instead of booting it."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "bisect.sh"
OOMCTL = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$1 $2" in
"lab build")
    grep -q unbuildable mm/kfunc.c && exit 4
    ! grep -q interrupted mm/kfunc.c || exit 130
    echo "7.3.4-oomctl-$(cksum <mm/kfunc.c | cut -c1-6) is ready, after 1 s"
    ;;
"lab smoke")
    ! grep -q dead mm/kfunc.c || exit 125
    ! grep -q broken mm/kfunc.c
    ;;
esac
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A function that makes a git tree with a commit for each content of mm/kfunc.c."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "oomctl").write_text(OOMCTL)
    (tmp_path / "bin" / "oomctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def make(*contents):
        git("init", "-q", "linux")
        monkeypatch.chdir(tmp_path / "linux")
        Path("mm").mkdir()
        for number, content in enumerate(contents):
            Path("mm/kfunc.c").write_text(f"{content} {number}\n")
            git("add", "-A")
            git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", f"{number} {content}")
        return tmp_path / "calls"

    return make


def git(*words):
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def bisected(commits):
    git("bisect", "start", "HEAD", f"HEAD~{commits - 1}")
    return git("bisect", "run", str(SCRIPT), "arguments", "lock")


def test_the_commit_that_breaks_the_kfunc_is_found(tree):
    calls = tree("good", "good", "good", "broken", "broken", "broken")
    status, said = bisected(6)
    assert status == 0, said
    assert "is the first bad commit" in said
    assert "3 broken" in said
    lines = calls.read_text().splitlines()
    kernel = lines[0] == "lab build --source ." and lines[1].split()[3]
    assert lines[1] == f"lab smoke --kernel {kernel} --bisect arguments lock"
    assert lines[2] == f"lab kernels --remove {kernel}"


@pytest.mark.parametrize("untestable", ["unbuildable", "dead"])
def test_a_commit_that_cannot_be_tested_is_skipped(tree, untestable):
    tree("good", "good", untestable, "good", "broken", "broken")
    status, said = bisected(6)
    assert status == 0, said
    assert "4 broken" in said


def test_an_interrupt_ends_the_bisection(tree):
    tree("good", "interrupted", "interrupted", "broken")
    status, said = bisected(4)
    assert status != 0
    assert "130" in said
    assert "first bad commit" not in said


def test_without_oomctl_the_bisection_ends(tree, monkeypatch):
    tree("good", "good", "broken")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    status, said = bisected(3)
    assert status != 0
    assert "oomctl is not in PATH" in said
    assert "first bad commit" not in said
