"""The real program: streams that are closed or full, and signals."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rounds import alone

PROGRAM = f"{shlex.quote(sys.executable)} -m oomctl"


def shell(text, unbuffered=""):
    return subprocess.run(
        ["bash", "-c", text.replace("oomctl", PROGRAM)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text("[hog.a]\nsize = 1\n")
    (tmp_path / "r.jsonl").write_text(alone())
    (tmp_path / "link").symlink_to("/dev/stdout")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        *("declare --dry-run", "run s.toml --dry-run", "report r.jsonl", "compare r.jsonl r.jsonl"),
        *("smoke --list", "lab smoke --list", "doctor", "predict --global"),
    ],
)
def test_stdout_by_any_name_is_stdout(files, command):
    """As root `-o /dev/stdout >f` made a regular file of the machine's /dev/stdout."""
    begun = "echo before; oomctl {} -o {}; echo after"
    shell(f"{{ {begun.format(command, 'link')}; }} >f")
    shell(f"{{ {begun.format(command, '/dev/stdout')}; }} >>f")
    one, two, rest = (files / "f").read_text().split("after\n")
    assert rest == ""
    for text in (one, two):
        assert text.startswith("before\n")
        assert len(text.splitlines()) > 2
    assert (files / "link").is_symlink()
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/proc/self/fd/1", "link"])
def test_a_closed_stdout_has_other_names(files, name):
    done = shell(f"oomctl declare --dry-run -o {name} >&-")
    assert (done.returncode, done.stderr) == (
        2,
        "oomctl: stdout is closed; send it to a file: >FILE\n",
    )


def test_a_dash_is_stdout_and_no_file(files):
    assert shell("oomctl report r.jsonl -o -").stdout == shell("oomctl report r.jsonl").stdout != ""
    assert not (files / "-").exists()


@pytest.mark.parametrize("name", ["alias", "hard"])
@pytest.mark.parametrize(
    ("command", "read"),
    [
        ("run {0} --dry-run -o {1}", "s.toml"),
        ("run - --dry-run -o {1} <{0}", "s.toml"),
        ("run {0} --dry-run >>{1}", "s.toml"),
        ("report {0} -o {1}", "r.jsonl"),
        ("report - -o {1} <{0}", "r.jsonl"),
        ("report {0} >>{1}", "r.jsonl"),
        ("compare {0} other -o {1}", "r.jsonl"),
        ("compare other {0} -o {1}", "r.jsonl"),
    ],
)
def test_what_is_read_is_not_overwritten(files, command, read, name):
    (files / "other").write_text(alone())
    (files / "alias").symlink_to(read)
    (files / "hard").hardlink_to(files / read)
    before = (files / read).read_text()
    done = shell(f"oomctl {command.format(read, name)}")
    assert done.returncode == 2
    assert done.stderr.endswith(", which is read; name another file\n")
    assert (files / read).read_text() == before


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("begun", ["cat {} | oomctl", "oomctl <{}", "(sleep 1; cat {}) | oomctl"])
def test_stdin_is_read(files, begun, name):
    first, *rest = begun.format("s.toml").split("oomctl")
    done = shell(f"{first}oomctl run {name} --dry-run --via bpf,limit{''.join(rest)}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory.max = its usage" in done.stdout
    first, *rest = begun.format("r.jsonl").split("oomctl")
    done = shell(f"{first}oomctl report {name} -f jsonl{''.join(rest)}")
    assert (done.returncode, done.stdout) == (1, alone())


def test_process_substitution_is_read(files):
    done = shell("oomctl run <(sleep 1; cat s.toml) <(cat s.toml) --dry-run --via bpf,limit")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("oomctl compare <(cat r.jsonl) <(sleep 1; cat r.jsonl)")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("command", ["report", "scenario check"])
@pytest.mark.parametrize("source", ["/dev/zero", "/dev/null", "&-"])
def test_stdin_that_is_a_device_is_refused(files, command, name, source):
    done = shell(f"oomctl {command} {name} <{source}")
    assert done.returncode == 2
    assert "Is a device; " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_that_never_ends_is_read_no_further_than_its_first_wrong_line(files):
    done = shell("oomctl report <(yes '{')")
    assert done.returncode == 2
    assert done.stderr.endswith("is not a record; give a file that `oomctl run` recorded\n")


WAITING = {"pipe_read", "anon_pipe_read", "0"}  # "0": this kernel does not tell
FULL = "No space left on device"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("oomctl declare --dry-run | head -1", 0, ""),
        ("oomctl declare --dry-run >&-", 2, "oomctl: stdout is closed; send it to a file: >FILE\n"),
        (
            "oomctl declare --dry-run >/dev/full",
            4,
            f"oomctl: cannot write the result to stdout: {FULL}; free some space or name another "
            "file\n",
        ),
        (
            "oomctl lab status >/dev/full",
            4,
            f"oomctl: cannot write the result to stdout: {FULL}; free some space or name another "
            "file\n",
        ),
        ("oomctl lab status >&-", 2, "oomctl: stdout is closed; send it to a file: >FILE\n"),
        (
            "setsid oomctl declare --dry-run -o /dev/tty",
            2,
            "oomctl: --output /dev/tty: is a device that does not exist; name a file\n",
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
def test_a_signal_ends_it_with_its_own_exit_code(number):
    """It waits for data in the pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "oomctl", "report", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_it_reads(process.pid)
    process.send_signal(number)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    ending = "its processes, cgroups and temporary files are gone"
    assert err == f"oomctl: ended by {number.name}; {ending}\n"


def wait_until_it_reads(pid: int) -> None:
    """Wait until a process waits for what a pipe is to bring (fs/pipe.c)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        if state == "S" and Path(f"/proc/{pid}/wchan").read_text() in WAITING:
            return
        time.sleep(0.02)
    pytest.fail("it never waited for the pipe")
