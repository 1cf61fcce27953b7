"""A HogSet in a fake cgroupfs: real processes, real memory, plain files."""

import os
import signal
import time

import psutil
import pytest

from oomctl.cgroup.node import UnifiedController
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.hog import hogset, spawn
from oomctl.hog.hogset import HogSet
from oomctl.hog.protocol import Report, Step
from oomctl.oom.holdings import Filled
from oomctl.oom.plan import Hog
from oomctl.proc import procfs
from tests.unit.hog.binary import M, children, gone, size_of, soon


def test_hogs_are_filled_when_the_block_is_entered_and_gone_when_it_is_left(hog_set, target, watch):
    wanted = Hog("a", 8 * M, 5, "/t"), Hog("b", 4 * M, 0, "/t")
    with hog_set(*wanted) as running:
        a, b = running.runners
        assert [running_hog.hog for running_hog in running.runners] == list(wanted)
        assert psutil.Process(a.pid).name() == "a"
        assert 8 * M <= psutil.Process(a.pid).memory_info().rss < 9 * M
        assert 4 * M <= psutil.Process(b.pid).memory_info().rss < 5 * M
        assert (target.directory / "cgroup.procs").read_text() == "00"
        assert os.getpgid(a.pid) == a.pid  # Ctrl-C is not for hogs
        running.require_alive()
        assert str(a) == f"'a' (8M, pid {a.pid})"
    assert children(os.getpid()) == []
    assert {watch.deaths[running_hog.pid].signal for running_hog in (a, b)} == {signal.SIGKILL}


def test_a_set_without_hogs(hog_set):
    with hog_set() as running:
        running.require_alive()


def test_an_error_in_the_block_ends_the_hogs(hog_set, target):
    with (
        pytest.raises(RuntimeError, match="inside"),
        hog_set(Hog("a", 0, 0, "/t")),
    ):
        raise RuntimeError("inside")
    assert children(os.getpid()) == []


def test_a_hog_that_fails_ends_all_and_the_error_says_why(hog_set, target, monkeypatch):
    monkeypatch.setattr(hogset, "require_memory", lambda _: None)
    wanted = Hog("good", M, 0, "/t"), Hog("huge", 1 << 60, 0, "/t")
    with (
        pytest.raises(
            UnsupportedError, match=r"'huge' \(1E, pid \d+\) could not map its memory: C"
        ),
        hog_set(*wanted),
    ):
        pass
    assert children(os.getpid()) == []


def test_the_error_names_an_adj_that_cannot_be_set(hog_set, target):
    with (
        pytest.raises(UnsupportedError, match="could not set its oom_score_adj: Invalid argument"),
        hog_set(Hog("a", M, 1001, "/t")),
    ):
        pass
    assert children(os.getpid()) == []


def test_more_than_the_machine_has_is_refused_before_any_hog_starts(hog_set, target):
    with (
        pytest.raises(UnsupportedError, match=r"the hogs need 1P, this machine has .* left; ask"),
        hog_set(Hog("a", 1 << 50, 0, "/t")),
    ):
        pass
    assert (target.directory / "cgroup.procs").read_text() == ""


def test_the_error_names_the_fate_of_a_hog_that_ended(hog_set, target, watch):
    with hog_set(Hog("a", 0, 0, "/t")) as running:
        pid = running.runners[0].pid
        os.kill(pid, signal.SIGTERM)
        watch.wait(lambda: pid in watch.deaths, 20)
        with pytest.raises(
            UnsupportedError, match=r"ended before the call: killed SIGTERM by another"
        ):
            running.require_alive()


def test_a_hog_that_dies_while_it_fills(hog_set, target, monkeypatch):
    """It may have joined its cgroup or not."""
    start = HogSet._start

    def start_and_kill(self, hog):
        start(self, hog)
        os.kill(self.runners[-1].pid, signal.SIGKILL)

    monkeypatch.setattr(HogSet, "_start", start_and_kill)
    with (
        pytest.raises(
            UnsupportedError, match=r"(start|memory|oom_score_adj): killed SIGKILL by another"
        ),
        hog_set(Hog("a", 64 * M, 0, "/t", rate=M)),
    ):
        pass
    assert children(os.getpid()) == []


def test_a_hog_that_takes_too_long_is_named(hog_set, target, monkeypatch):
    start = HogSet._start

    def start_and_stop(self, hog):
        start(self, hog)
        os.kill(self.runners[-1].pid, signal.SIGSTOP)

    monkeypatch.setattr(HogSet, "_start", start_and_stop)
    with (
        pytest.raises(OomctlError, match=r"not filled after 1.2 s: a, b; .*--timeout"),
        hog_set(*(Hog(n, M, 0, "/t", rate=M) for n in "ab"), timeout=0.2),
    ):
        pass
    assert children(os.getpid()) == []


def test_a_cgroup_that_is_gone_starts_no_hog_and_leaks_no_descriptor(hog_set):
    before = len(psutil.Process().open_files()), psutil.Process().num_fds()
    with (
        pytest.raises(OomctlError, match=r"cannot open .*x/cgroup\.procs.*removed in the meantime"),
        hog_set(Hog("a", 0, 0, "/x")),
    ):
        pass
    assert (len(psutil.Process().open_files()), psutil.Process().num_fds()) == before
    assert children(os.getpid()) == []


def test_kept_hogs_live_on(hog_set, target, watch):
    with hog_set(Hog("a", 0, 0, "/t"), keep=True) as running:
        pid = running.runners[0].pid
    watch.poll()
    assert pid not in watch.deaths
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    watch.kill([pid])
    watch.wait(lambda: pid in watch.deaths, 20)


def test_hogs_that_are_to_be_kept_end_after_an_error(hog_set, target):
    with (
        pytest.raises(RuntimeError, match="inside"),
        hog_set(Hog("a", 0, 0, "/t"), keep=True),
    ):
        raise RuntimeError("inside")
    assert children(os.getpid()) == []


def test_a_missing_binary_is_an_error_with_a_hint(hog_set, target, monkeypatch):
    monkeypatch.setattr(spawn.platform, "machine", lambda: "vax")
    with (
        pytest.raises(OomctlError, match=r"hog\.vax is missing.*make build"),
        hog_set(Hog("a", 0, 0, "/t")),
    ):
        pass


def test_no_controller_is_used(hog_set, target, monkeypatch):
    """A hog joins its cgroup through an open descriptor."""
    monkeypatch.setattr(UnifiedController, "set_property", None)
    with hog_set(Hog("a", 0, 0, "/t")):
        pass


def test_a_hog_reports_how_it_was_filled(hog_set, target):
    wanted = Hog("a", 8 * M, 0, "/t"), Hog("b", 8 * M, 0, "/t", rate=32 * M)
    with hog_set(*wanted) as running:
        at_once, paced = (running_hog.filled for running_hog in running.runners)
        assert (at_once.bytes, at_once.lost_bytes) == (8 * M, 0)
        assert at_once.took_ns > 0
        assert paced.bytes == 8 * M
        assert 0.2e9 < paced.took_ns < 5e9
        assert [running_hog.failed for running_hog in running.runners] == ["", ""]


def test_lost_time_is_converted_to_bytes_at_the_rate():
    report = Report(Step.READY, 0, 0, 0, 10 * M, 3_000_000_000, 500_000_000)
    hog = Hog("a", 10 * M, rate=4 * M)
    assert report.filled(hog) == Filled(10 * M, 3_000_000_000, 2 * M)


def test_a_hog_has_its_own_comm(hog_set, target):
    with hog_set(Hog("a", 0, 0, "/t", comm="postgres: main")) as running:
        assert psutil.Process(running.runners[0].pid).name() == "postgres: main"


def test_a_slow_rate_extends_the_timeout(hog_set, target):
    wanted = Hog("a", 2 * M, 0, "/t", rate=4 * M)
    with hog_set(wanted, timeout=0.4) as running:
        assert running.runners[0].filled.took_ns > 0.4e9


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("accounted", [True, False])
def test_kernel_memory_without_the_memory_controller(hog_set, target, kind, accounted):
    """If the kernel does not charge it, the hog must not fill forever."""
    if not accounted:
        (target.directory / "memory.current").unlink()
    wanted = Hog("a", 4 * M, 0, "/t", kind, may_fail=True)
    with hog_set(wanted) as running:
        (running_hog,) = running.runners
        assert bool(running_hog.filled) is not accounted
        assert running_hog.failed == (
            "could not fill its memory: Operation not supported" if accounted else ""
        )


def test_hogs_that_share_a_cgroup_count_for_themselves(hog_set, target):
    wanted = [Hog(name, 4 * M, 0, "/t", "pipe") for name in "ab"]
    with hog_set(*wanted) as running:
        assert [running_hog.filled.bytes for running_hog in running.runners] == [4 * M, 4 * M]


def test_a_sharer_joins_its_own_cgroup(hog_set, cgroupfs, target):
    other = cgroupfs.create_cgroup("other")
    wanted = Hog("a", 4 * M, 0, "/t", "shared", sharer="/other")
    with hog_set(wanted) as running:
        (sharer,) = psutil.Process(running.runners[0].pid).children()
        assert (other.directory / "cgroup.procs").read_text() == "0"
        assert size_of(sharer.pid, "VmRSS") >= 4 * M
    soon(lambda: gone(sharer.pid))


def test_a_stopped_hog_is_stopped_when_the_block_begins(hog_set, target, watch):
    with hog_set(Hog("a", 4 * M, 0, "/t", "stopped")) as running:
        pid = running.runners[0].pid
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        running.require_alive()
    assert watch.deaths[pid].signal == signal.SIGKILL


def test_a_traced_hog_does_not_delay_the_end_of_the_set(hog_set, target):
    began = time.monotonic()
    with hog_set(Hog("a", 4 * M, 0, "/t", "traced", hold=1000.0)) as running:
        (tracer,) = psutil.Process(running.runners[0].pid).children()
        held_open = os.dup(running._leash[1])  # as by a caller that was forked
    assert time.monotonic() - began < 10
    os.close(held_open)
    soon(lambda: gone(tracer.pid))
    assert children(os.getpid()) == []


def test_a_traced_hog_is_stopped_after_its_kill(hog_set, target, watch):
    with hog_set(Hog("a", 4 * M, 0, "/t", "traced", hold=0.4)) as running:
        pid = running.runners[0].pid
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert watch.wait(lambda: pid in watch.deaths, 20)
        assert time.monotonic() - began >= 0.4


def test_threads_without_their_leader(hog_set, target):
    wanted = Hog("a", 8 * M, 7, "/t", "threads", tasks=2, leader_exits=True)
    with hog_set(wanted, Hog("b", M, 0, "/t")) as running:
        pid = running.runners[0].pid
        assert running.runners[0].holds.differs == ""
        task = procfs.read_task(pid)
        assert (task.thread, task.comm) == (procfs.memory_holder(pid), "a")
        assert task.thread != pid
        assert len({pid, task.thread, *task.other_threads}) == 3
        assert task.rss >= 8 * M
        assert task.oom_score_adj == 7
    assert gone(pid)


def test_threads_and_children(hog_set, target):
    wanted = (
        Hog("a", 8 * M, 0, "/t", "threads", tasks=4),
        Hog("b", 8 * M, 0, "/t", "forker", tasks=4),
    )
    with hog_set(*wanted) as running:
        threads, forker = (psutil.Process(running_hog.pid) for running_hog in running.runners)
        assert threads.num_threads() == 5
        forked = forker.children()
        assert len(forked) == 4
        assert all(size_of(child.pid, "VmRSS") >= 2 * M for child in forked)
    soon(lambda: all(gone(child.pid) for child in forked))
