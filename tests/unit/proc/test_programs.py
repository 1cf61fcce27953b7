"""Programs that do not end, and what those that are run are started with."""

import subprocess
import time
from pathlib import Path

import pytest

from oomctl.errors import OomctlError
from oomctl.proc import fork, programs


def test_a_program_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(programs, "_LONG", 0.3)
    began = time.monotonic()
    with pytest.raises(
        OomctlError, match=r"`sleep 60` did not end within 0\.005 minutes, and was k"
    ):
        programs.run("sleep", "60")
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run("sleep", "60", timeout=0.1)
    assert time.monotonic() - began < 30


def test_a_child_that_left_its_session_does_not_block():
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run("sh", "-c", "setsid sleep 5 & exit 3", timeout=0.3)


def test_what_cannot_be_killed_is_not_waited_for(monkeypatch):
    """Stands for a program that is stuck in the kernel: SIGKILL does not reach it."""
    monkeypatch.setattr(programs, "_DYING", 0.2)
    monkeypatch.setattr("os.killpg", lambda *_: None)
    killed = []
    reap = programs.reap
    monkeypatch.setattr(programs, "reap", lambda process: (reap(process), killed.append(process)))
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run("sleep", "5", timeout=0.1)
    assert time.monotonic() - began < 4
    (process,) = killed
    process.kill()
    process.wait(10)


def test_programs_have_the_oom_score_adj_that_oomctl_was_started_with():
    own = Path("/proc/self/oom_score_adj").read_text()
    with fork.programs_at(700):
        assert programs.run("cat", "/proc/self/oom_score_adj") == (0, "700\n")
    assert programs.run("cat", "/proc/self/oom_score_adj") == (0, own)
