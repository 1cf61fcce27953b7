"""The real program: streams that are closed or full, and signals."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = f"{shlex.quote(sys.executable)} -m oomctl"


def shell(text, unbuffered=""):
    return subprocess.run(
        ["bash", "-c", text.replace("oomctl", PROGRAM)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )


WAITING = {"wait_for_partner", "0"}  # "0": this kernel does not tell
FULL = "No space left on device"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("oomctl declare --dry-run | head -1", 0, ""),
        ("oomctl declare --dry-run >&-", 2, "oomctl: stdout is closed; give --output FILE\n"),
        (
            "oomctl declare --dry-run >/dev/full",
            4,
            f"oomctl: cannot write the result to stdout: {FULL}; free some space or name another "
            "file\n",
        ),
        ("oomctl --help >/dev/full", 4, f"oomctl: cannot write to stdout: {FULL}\n"),
        ("oomctl --version >/dev/full", 4, f"oomctl: cannot write to stdout: {FULL}\n"),
        ("oomctl declare --hog x 2>&-", 2, ""),
        ("oomctl declare --hog x 2>/dev/full", 2, ""),
        ("oomctl declare --dry-run <&- >/dev/null", 0, ""),
        ("oomctl declare --dry-run <&- >/dev/null 2>&-", 0, ""),
    ],
)
def test_closed_and_full_streams(text, code, says, unbuffered):
    done = shell(text, unbuffered)
    assert (done.returncode, done.stderr) == (code, says)


def test_a_reader_that_is_gone_ends_it_as_a_pipe_does():
    done = shell("(sleep 1; oomctl declare --dry-run; echo $? >&2) | true")
    assert done.stderr == f"{128 + signal.SIGPIPE}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_its_own_exit_code(tmp_path, number):
    """It waits for somebody to open the other end of the pipe."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    arguments = ["declare", "--dry-run", "--output", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "oomctl", *arguments], stderr=subprocess.PIPE, text=True
    )
    wait_until_it_opens(process.pid)
    process.send_signal(number)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert err == f"oomctl: ended by {number.name}; everything it made is removed\n"


def wait_until_it_opens(pid: int) -> None:
    """Wait until a process waits for the other end of a named pipe (fs/pipe.c)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        if state == "S" and Path(f"/proc/{pid}/wchan").read_text() in WAITING:
            return
        time.sleep(0.02)
    pytest.fail("it never waited for the pipe")
