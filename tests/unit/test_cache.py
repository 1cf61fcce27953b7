"""Folders for a while: gone afterwards, and those of a killed oomctl with the next one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl import cache

HOLD = """
import sys, time
from oomctl import cache
with cache.scratch("held-") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))


@pytest.fixture
def holder():
    """Another process with a folder of its own."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    with process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_folder_is_gone_with_its_block():
    with cache.scratch("x-") as folder:
        (folder / "file").touch()
    assert not folder.exists()


def test_the_folder_of_who_lives_stays_and_of_who_was_killed_goes(holder):
    process, folder = holder
    with cache.scratch("x-"):
        assert (folder / "file").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.exists()
    with cache.scratch("x-"):
        assert not folder.exists()


def test_a_program_dies_with_who_ran_it(tmp_path):
    script = "from oomctl import tool; tool.run('sh', '-c', f'echo $$ >{out}; exec sleep 60')"
    out = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", f"out = {str(out)!r}; {script}"])
    deadline = time.monotonic() + 20
    while not (out.exists() and out.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    pid = int(out.read_text())
    while state(pid) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
