"""The kinds of hogs with several tasks, or whose task is stopped or traced."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from oomctl.hog.protocol import Step
from oomctl.oom.hogexit import HogExit
from oomctl.proc import procfs
from tests.unit.hog.binary import (
    DONE,
    M,
    children,
    end,
    exit_status,
    gone,
    hog,
    listen,
    size_of,
    soon,
    start,
    status,
)


def test_threads_share_one_memory(procs):
    with hog(procs, "threads", 16 * M, tasks=4) as (pid, said):
        assert status(pid)["Threads"] == "5"
        assert 16 * M <= size_of(pid, "RssAnon") <= 16 * M + (64 << 10)
        assert said.bytes == 16 * M
        comms = {path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")}
        assert comms == {"hog\n"}


def test_threads_live_on_without_their_leader(procs):
    with hog(procs, "threads", 16 * M, tasks=2, exits=1) as (pid, said):
        soon(lambda: status(pid)["State"][0] == "Z")
        assert "VmRSS" not in status(pid)
        holder = procfs.memory_holder(pid)
        assert holder != pid
        assert size_of(holder, "RssAnon") >= said.bytes == 16 * M
        assert Path(f"/proc/{holder}/comm").read_text() == "hog\n"
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert gone(holder)


def test_more_threads_than_pages(procs):
    with hog(procs, "threads", 8192, tasks=64) as (pid, said):
        assert status(pid)["Threads"] == "65"
        assert said.bytes == 8192


def test_a_forker_replaces_dead_children(procs):
    with hog(procs, "forker", 12 * M, tasks=3) as (pid, said):
        first = children(pid)
        assert len(first) == 3
        assert said.bytes == 12 * M
        assert all(4 * M <= size_of(child, "RssAnon") < 5 * M for child in first)
        assert size_of(pid, "RssAnon") < M
        os.kill(first[0], signal.SIGKILL)
        soon(lambda: len(set(children(pid)) - set(first)) == 1)
        (new,) = set(children(pid)) - set(first)
        soon(lambda: size_of(new, "RssAnon") >= 4 * M)
        now = children(pid)
        assert status(new)["Name"] == "hog"
    soon(lambda: all(map(gone, now)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_forker_reports_a_child_that_was_killed_while_it_filled(procs, number):
    words = "kind=forker", "adj=0", f"size={1 << 33}", "tasks=2", "rate=4096"
    pid, reader = start(procs, "x", *words)
    soon(lambda: len(children(pid)) == 1)
    child = children(pid)[0]
    os.kill(child, number)
    last = listen(reader)[-1]
    assert (last.step, last.error, last.child) == (Step.FILL, errno.ECHILD, child)
    assert os.WTERMSIG(last.status) == number
    assert exit_status(pid) == HogExit.CHILD_KILLED


def test_a_forker_reports_a_full_child_that_was_killed_while_others_filled(procs):
    words = "kind=forker", "adj=0", f"size={2 * M}", "tasks=2", f"rate={2 * M}"
    pid, reader = start(procs, "x", *words)
    soon(lambda: len(children(pid)) == 2)
    child = children(pid)[0]
    os.kill(child, signal.SIGKILL)
    last = listen(reader)[-1]
    assert (last.step, last.child, last.status) == (Step.FILL, child, signal.SIGKILL)
    assert exit_status(pid) == HogExit.CHILD_KILLED


@pytest.mark.parametrize("kind", ["threads", "forker"])
def test_with_size_0_it_still_has_all_its_tasks(procs, kind):
    """A forker without a child would end at once."""
    with hog(procs, kind, 0, tasks=3) as (pid, said):
        assert said.bytes == 0
        assert status(pid)["Threads"] == {"threads": "4", "forker": "1"}[kind]
        assert len(children(pid)) == {"threads": 0, "forker": 3}[kind]


def test_a_sharer_has_the_memory_in_another_cgroup(procs, tmp_path):
    other = tmp_path / "sharer's procs"
    other.touch()
    with hog(procs, "shared", 8 * M, sharer=other) as (pid, _said):
        (sharer,) = children(pid)
        assert other.read_text() == procs.read_text() == "0"
        assert status(sharer)["Tgid"] == str(sharer)
        assert size_of(sharer, "RssAnon") == size_of(pid, "RssAnon") >= 8 * M
        assert Path(f"/proc/{sharer}/maps").read_text() == Path(f"/proc/{pid}/maps").read_text()
    soon(lambda: gone(sharer))


def test_a_stopped_hog_stops_after_its_last_report(procs):
    with hog(procs, "stopped", 4 * M) as (pid, _said):
        soon(lambda: status(pid)["State"][0] == "T")
        assert size_of(pid, "RssAnon") >= 4 * M
        os.kill(pid, signal.SIGCONT)
        soon(lambda: status(pid)["State"][0] == "S")


def traced(procs, *words: str) -> tuple[int, int]:
    pid, reader = start(procs, "x", "kind=traced", "adj=7", f"size={4 * M}", *words)
    said = listen(reader)
    assert [report.step for report in said] == [Step.TRACE, *DONE]
    (tracer,) = children(pid)
    assert status(pid)["TracerPid"] == str(tracer)
    return pid, tracer


def test_a_traced_hog_is_stopped_at_its_exit(procs):
    adj = Path("/proc/self/oom_score_adj").read_text()
    pid, tracer = traced(procs, f"hold={400_000_000}")
    assert Path(f"/proc/{tracer}/oom_score_adj").read_text() == adj
    assert size_of(tracer, "RssAnon") < M
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    soon(lambda: status(pid)["State"][0] == "t")
    assert size_of(pid, "RssAnon") >= 4 * M
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert 0.4 <= time.monotonic() - began < 10
    soon(lambda: gone(tracer))


def test_a_traced_hog_still_gets_its_signals(procs):
    pid, tracer = traced(procs, f"hold={10**12}")
    os.kill(pid, signal.SIGSTOP)
    soon(lambda: status(pid)["State"][0] in "Tt")
    time.sleep(0.05)
    assert status(pid)["State"][0] in "Tt"
    os.kill(pid, signal.SIGCONT)
    soon(lambda: status(pid)["State"][0] == "S")
    os.kill(pid, signal.SIGUSR1)
    # held on its way out, not merely stopped for the signal, which would be lost with the tracer
    soon(lambda: "poll" in Path(f"/proc/{tracer}/wchan").read_text())
    os.kill(tracer, signal.SIGKILL)  # another one to the hog would change nothing
    os.waitpid(pid, 0)


def test_a_released_tracer_does_not_stop_its_hog(procs):
    reader, writer = os.pipe()
    words = f"hold={10**12}", f"leash={reader}"
    os.set_inheritable(reader, True)
    pid, tracer = traced(procs, *words)
    os.close(reader)
    os.close(writer)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    soon(lambda: gone(tracer))


def test_a_traced_hog_outlives_its_tracer(procs):
    pid, tracer = traced(procs, f"hold={10**12}")
    os.kill(tracer, signal.SIGKILL)
    soon(lambda: status(pid)["TracerPid"] == "0")
    end(pid)
