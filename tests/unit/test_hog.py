"""The hog's binary alone: a plain file stands in for cgroup.procs, so no root is needed."""

import errno
import os
import platform
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.kernel.hogs import _REPORT, Step

M = 1 << 20
BINARY = Path(resources.built(f"hog.{platform.machine()}"))
SHIFT = 50  # above every descriptor that the test itself holds


def start(procs: Path, *arguments: str, writable=True):
    """Start `hog ARGUMENTS 3>report 4>procs`; return its PID and the reading end of the report."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    fd = os.open(procs, os.O_WRONLY if writable else os.O_RDONLY)
    pid = os.posix_spawn(
        BINARY,
        [str(BINARY), *arguments],
        {},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, writer, SHIFT),
            (os.POSIX_SPAWN_DUP2, fd, SHIFT + 1),
            (os.POSIX_SPAWN_DUP2, SHIFT, 3),
            (os.POSIX_SPAWN_DUP2, SHIFT + 1, 4),
            (os.POSIX_SPAWN_CLOSE, SHIFT),
            (os.POSIX_SPAWN_CLOSE, SHIFT + 1),
        ],
    )
    os.close(writer)
    os.close(fd)
    return pid, reader


def reports(reader: int) -> list[tuple[Step, int]]:
    """Read every report until the hog closes its end."""
    with os.fdopen(reader, "rb") as pipe:
        assert select.select([pipe], [], [], 20)[0]
        raw = pipe.read()
    assert len(raw) % _REPORT.size == 0
    return [(Step(step), error) for step, error in _REPORT.iter_unpack(raw)]


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
def procs(tmp_path):
    path = tmp_path / "cgroup.procs"
    path.touch()
    return path


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_a_hog_fills_what_it_is_told_and_says_each_step(procs):
    pid, reader = start(procs, "sixteen", str(os.getpid()), "321", str(16 * M))
    try:
        assert reports(reader) == [
            (Step.JOIN, 0),
            (Step.ADJUST, 0),
            (Step.MAP, 0),
            (Step.FILL, 0),
            (Step.READY, 0),
        ]
        seen = status(pid)
        assert seen["Name"] == "sixteen"
        rss = int(seen["VmRSS"].split()[0]) * 1024
        assert 16 * M <= rss < 17 * M
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "321\n"
        assert procs.read_text() == "0"  # itself, as cgroup.procs reads it
    finally:
        end(pid)


def test_an_empty_hog_maps_nothing(procs):
    pid, reader = start(procs, "empty", str(os.getpid()), "0", "0")
    try:
        assert reports(reader) == [(Step.JOIN, 0), (Step.ADJUST, 0), (Step.READY, 0)]
        assert int(status(pid)["VmRSS"].split()[0]) < 1024
    finally:
        end(pid)


def test_a_single_byte_is_a_page(procs):
    pid, reader = start(procs, "byte", str(os.getpid()), "0", "1")
    try:
        assert reports(reader)[-1] == (Step.READY, 0)
    finally:
        end(pid)


def failure(procs, *arguments, **more):
    pid, reader = start(procs, *arguments, **more)
    last = reports(reader)[-1]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    return last


def test_a_cgroup_that_cannot_be_joined(procs):
    arguments = ("x", str(os.getpid()), "0", "4096")
    assert failure(procs, *arguments, writable=False) == (Step.JOIN, errno.EBADF)


def test_an_oom_score_adj_that_cannot_be_set(procs):
    assert failure(procs, "x", str(os.getpid()), "1001", "4096") == (Step.ADJUST, errno.EINVAL)


@pytest.mark.parametrize("size", [1 << 47, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
def test_a_size_beyond_any_address_space(procs, size):
    assert failure(procs, "x", str(os.getpid()), "0", str(size)) == (Step.MAP, errno.ENOMEM)


def test_wrong_arguments_are_refused_without_a_report(procs):
    pid, reader = start(procs, "too", "few")
    assert reports(reader) == []
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_a_hog_whose_parent_is_gone_already_does_not_start(procs):
    pid, reader = start(procs, "x", str(os.getpid() + 1), "0", "4096")
    assert reports(reader) == []
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert procs.read_text() == ""


def by_a_parent_that_dies(procs, parent: str) -> int:
    """Let another process start a hog and end; return the hog's PID."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_hog, pathlib
pid, reader = test_hog.start(pathlib.Path({str(procs)!r}), "orphan", {parent}, "0", "4096")
test_hog.reports(reader)
print(pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        assert status(pid)["Name"] == "orphan"
        process.kill()
    return pid


def test_a_hog_dies_with_its_parent(procs):
    pid = by_a_parent_that_dies(procs, "str(os.getpid())")
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and status(pid)["State"][0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hog_that_is_to_be_kept_outlives_its_parent(procs):
    pid = by_a_parent_that_dies(procs, "'0'")
    fd = os.pidfd_open(pid)
    try:
        assert select.select([fd], [], [], 0.3)[0] == []
        assert status(pid)["State"][0] in "SR"
    finally:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
