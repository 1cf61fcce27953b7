"""The hog's binary alone: a plain file stands in for cgroup.procs, so no root is needed."""

import errno
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import oomctl
from oomctl.hog.protocol import Step
from oomctl.oom.hogexit import HogExit, own_end
from tests.unit.hog.binary import (
    DONE,
    M,
    end,
    exit_status,
    gone,
    hog,
    listen,
    plain,
    size_of,
    smaps,
    soon,
    start,
    status,
)

HEADER = Path(oomctl.__file__).parent / "hog" / "hog.h"


def test_a_hog_fills_its_size_and_reports_each_step(procs):
    pid, reader = plain(procs, "sixteen", "321", str(16 * M))
    try:
        said = listen(reader)
        assert [(report.step, report.error) for report in said] == [(step, 0) for step in DONE]
        seen = status(pid)
        assert seen["Name"] == "sixteen"
        assert 16 * M <= size_of(pid, "VmRSS") <= 16 * M + (20 << 10)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "321\n"
        assert procs.read_text() == "0"  # itself, as cgroup.procs reads it
        last = said[-1]
        assert (last.bytes, last.lost_ns) == (16 * M, 0)
        assert 0 < last.took_ns < 10**10
    finally:
        end(pid)


def test_an_empty_hog_maps_nothing(procs):
    pid, reader = plain(procs, size="0")
    try:
        said = listen(reader)
        assert [report.step for report in said] == [Step.JOIN, Step.ADJUST, Step.READY]
        assert size_of(pid, "VmRSS") <= 20 << 10
    finally:
        end(pid)


def test_a_single_byte_is_a_page(procs):
    with hog(procs, size=1) as (_pid, said):
        assert said.bytes == 1


def failure(procs, *arguments, **more):
    pid, reader = plain(procs, *arguments, **more)
    last = listen(reader)[-1]
    assert exit_status(pid) == HogExit.FAILED
    return last.step, last.error


def test_a_cgroup_that_cannot_be_joined_is_reported(procs):
    assert failure(procs, writable=False) == (Step.JOIN, errno.EBADF)


def test_an_oom_score_adj_that_cannot_be_set_is_reported(procs):
    assert failure(procs, adj="1001") == (Step.ADJUST, errno.EINVAL)


def test_an_oom_score_adj_that_reads_back_differently_is_reported(procs):
    """The kernel refuses `5x`, and stores 5 for `05`."""
    assert failure(procs, adj="05") == (Step.ADJUST, errno.EPERM)


@pytest.mark.parametrize("size", [1 << 47, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("thp", [0, 1])
def test_a_size_beyond_any_address_space_is_reported(procs, size, thp):
    pid, reader = start(procs, "x", "kind=anon", "adj=0", f"size={size}", f"thp={thp}")
    last = listen(reader)[-1]
    assert (last.step, last.error) == (Step.MAP, errno.ENOMEM)
    os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "words", [(), ("kind=anon",), ("adj=0",), ("kind=tulip", "adj=0"), ("kind=anon", "adj=0", "z")]
)
def test_wrong_arguments_are_refused_without_a_report(procs, words):
    pid, reader = start(procs, "x", *words)
    assert listen(reader) == []
    assert exit_status(pid) == HogExit.USAGE


def test_a_hog_whose_parent_has_ended_does_not_start(procs):
    pid, reader = plain(procs, parent=os.getpid() + 1)
    assert listen(reader) == []
    assert exit_status(pid) == HogExit.NO_PARENT
    assert procs.read_text() == ""


def by_a_parent_that_dies(procs, *words: str) -> list[int]:
    """Let another process start a hog and end; return the PIDs of the hog and its children."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import pathlib
from tests.unit.hog import binary
words = [word.format(pid=os.getpid()) for word in {words!r}]
pid, reader = binary.start(pathlib.Path({str(procs)!r}), "orphan", "adj=0", *words)
binary.listen(reader)
print(pid, *binary.children(pid), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert status(pids[0])["Name"] == "orphan"
        process.kill()
    return pids


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        *(("anon", ()), ("forker", ("tasks=3",)), ("threads", ("tasks=3",))),
        *(("threads", ("tasks=3", "exits=1")), ("traced", ("hold=1000",))),
    ],
)
def test_a_hog_and_its_tasks_die_with_its_parent(procs, kind, more):
    words = f"kind={kind}", "size=65536", "parent={pid}", *more
    pids = by_a_parent_that_dies(procs, *words)
    assert len(pids) == {"forker": 4, "traced": 2}.get(kind, 1)
    soon(lambda: all(map(gone, pids)))


def test_a_hog_that_is_to_be_kept_outlives_its_parent(procs):
    (pid,) = by_a_parent_that_dies(procs, "kind=anon", "size=4096")
    fd = os.pidfd_open(pid)
    try:
        assert select.select([fd], [], [], 0.3)[0] == []
        assert status(pid)["State"][0] in "SR"
    finally:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)


def test_every_exit_status_of_a_hog_has_words():
    """`enum hog_exit` in hog/hog.h is HogExit."""
    (names,) = re.findall(r"enum hog_exit \{ (.*) = 0, (.*) \};", HEADER.read_text())
    assert ", ".join(names).split(", ") == [each.name for each in HogExit]
    assert all(own_end(each) for each in HogExit)
    assert own_end(len(HogExit)) is None


def test_every_exit_of_a_hog_uses_the_enum():
    """A bare number would have no words."""
    sources = HEADER.parent.glob("*.c")
    given = {word for path in sources for word in re.findall(r"leave\((.*)\);", path.read_text())}
    names = {name for word in given for name in re.findall(r"\w+", word)} - {"hog", "child"}
    assert names == {each.name for each in HogExit}


@pytest.mark.parametrize(
    ("kind", "more"), [("anon", {}), ("threads", {"tasks": 4}), ("forker", {"tasks": 4})]
)
def test_a_rate_is_kept(procs, kind, more):
    with hog(procs, kind, 8 * M, rate=32 * M, **more) as (_pid, said):
        assert said.bytes == 8 * M
        assert 0.2e9 < said.took_ns - said.lost_ns < 0.5e9


def test_time_that_was_not_made_up_for_is_reported_as_lost(procs):
    """The hog is stopped in the middle of 1.3 s."""
    words = "kind=anon", "adj=0", f"size={64 * M}", f"rate={50 * M}"
    pid, reader = start(procs, "x", *words)
    try:
        soon(lambda: size_of(pid, "RssAnon") > 8 * M)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(pid, signal.SIGCONT)
        last = listen(reader)[-1]
        assert 1.3e9 < last.lost_ns < 5e9
        assert last.took_ns > 2.5e9
        assert last.bytes == 64 * M
    finally:
        end(pid)


def test_a_rate_beyond_the_machine_fills_as_fast_as_it_can(procs):
    with hog(procs, size=64 * M, rate=1 << 62) as (_pid, said):
        assert said.bytes == 64 * M


@pytest.mark.parametrize(
    ("kind", "more"), [("anon", {}), ("mlock", {}), ("shmem", {}), ("threads", {"tasks": 2})]
)
def test_a_working_set_is_touched_again_and_again(procs, kind, more):
    with hog(procs, kind, 8 * M, touch=4 * M, **more) as (pid, _said):
        Path(f"/proc/{pid}/clear_refs").write_text("1")
        soon(lambda: smaps(pid, "Referenced") >= 4 * M)
        assert smaps(pid, "Referenced") < 6 * M
        before = sum(psutil.Process(pid).cpu_times()[:2])
        time.sleep(0.5)
        assert sum(psutil.Process(pid).cpu_times()[:2]) - before < 0.25


def test_without_a_working_set_it_sleeps(procs):
    with hog(procs, size=8 * M) as (pid, _said):
        Path(f"/proc/{pid}/clear_refs").write_text("1")
        time.sleep(0.1)
        assert smaps(pid, "Referenced") < M
