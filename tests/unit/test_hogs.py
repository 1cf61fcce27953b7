"""A herd in a fake cgroupfs: real processes, real memory, plain files."""

import os
import resource
import signal

import psutil
import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.kernel import hogs
from oomctl.kernel.cgroups import UnifiedController
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.hogs import Herd
from oomctl.plan import Hog

M = 1 << 20


@pytest.fixture
def watch():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with DeathWatch() as watching:
        yield watching
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def target(cgroupfs):
    return cgroupfs.create_cgroup("t")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def herd(cgroupfs, watch, *wanted, timeout=20.0, keep=False):
    return Herd(wanted, cgroupfs, watch, timeout, keep)


def test_a_herd_is_filled_when_entered_and_gone_when_left(cgroupfs, target, watch):
    wanted = Hog("a", 8 * M, 5, "/t"), Hog("b", 4 * M, 0, "/t")
    with herd(cgroupfs, watch, *wanted) as running:
        a, b = running.runners
        assert [runner.hog for runner in running.runners] == list(wanted)
        assert psutil.Process(a.pid).name() == "a"
        assert 8 * M <= psutil.Process(a.pid).memory_info().rss < 9 * M
        assert 4 * M <= psutil.Process(b.pid).memory_info().rss < 5 * M
        assert (target.directory / "cgroup.procs").read_text() == "0"
        assert os.getpgid(a.pid) == a.pid  # Ctrl-C is not for hogs
        running.require_alive()
        assert str(a) == f"'a' (8M, pid {a.pid})"
    assert children() == set()
    assert {watch.deaths[runner.pid].signal for runner in (a, b)} == {signal.SIGKILL}


def test_a_herd_of_none(cgroupfs, watch):
    with herd(cgroupfs, watch) as running:
        running.require_alive()


def test_an_error_inside_ends_the_herd(cgroupfs, target, watch):
    with pytest.raises(RuntimeError, match="inside"), herd(cgroupfs, watch, Hog("a", 0, 0, "/t")):
        raise RuntimeError("inside")
    assert children() == set()


def test_a_hog_that_fails_ends_them_all_and_says_why(cgroupfs, target, watch, monkeypatch):
    monkeypatch.setattr(hogs, "_require_memory", lambda _: None)
    wanted = Hog("good", M, 0, "/t"), Hog("huge", 1 << 60, 0, "/t")
    with (
        pytest.raises(
            UnsupportedError, match=r"'huge' \(1E, pid \d+\) could not map its memory: C"
        ),
        herd(cgroupfs, watch, *wanted),
    ):
        pass
    assert children() == set()


def test_a_hog_that_cannot_take_its_adj_says_so(cgroupfs, target, watch):
    with (
        pytest.raises(UnsupportedError, match="could not set its oom_score_adj: Invalid argument"),
        herd(cgroupfs, watch, Hog("a", M, 1001, "/t")),
    ):
        pass
    assert children() == set()


def test_more_than_the_machine_has_is_refused_before_anything_starts(cgroupfs, target, watch):
    with (
        pytest.raises(UnsupportedError, match=r"the hogs want 1P, this machine has .* left; ask"),
        herd(cgroupfs, watch, Hog("a", 1 << 50, 0, "/t")),
    ):
        pass
    assert (target.directory / "cgroup.procs").read_text() == ""


def test_a_hog_that_ends_meanwhile_is_told_by_its_fate(cgroupfs, target, watch):
    with herd(cgroupfs, watch, Hog("a", 0, 0, "/t")) as running:
        pid = running.runners[0].pid
        os.kill(pid, signal.SIGTERM)
        watch.wait(lambda: pid in watch.deaths, 20)
        with pytest.raises(UnsupportedError, match=r"did not live .*: killed SIGTERM by someone"):
            running.require_alive()


def test_a_hog_that_dies_while_it_fills(cgroupfs, target, watch, monkeypatch):
    """The first report comes when it has joined; this one is dead by then."""
    start = Herd._start

    def start_and_kill(self, hog):
        start(self, hog)
        os.kill(self.runners[-1].pid, signal.SIGKILL)

    monkeypatch.setattr(Herd, "_start", start_and_kill)
    with (
        pytest.raises(UnsupportedError, match=r"could not .*: killed SIGKILL by someone else"),
        herd(cgroupfs, watch, Hog("a", 2048 * M, 0, "/t")),
    ):
        pass
    assert children() == set()


def test_a_hog_that_takes_too_long(cgroupfs, target, watch, monkeypatch):
    start = Herd._start

    def start_and_stop(self, hog):
        start(self, hog)
        os.kill(self.runners[-1].pid, signal.SIGSTOP)

    monkeypatch.setattr(Herd, "_start", start_and_stop)
    with (
        pytest.raises(OomctlError, match=r"not filled after 0.2 s: a, b; .*--timeout"),
        herd(cgroupfs, watch, *(Hog(n, 512 * M, 0, "/t") for n in "ab"), timeout=0.2),
    ):
        pass
    assert children() == set()


def test_a_cgroup_that_is_gone_starts_no_hog_and_leaks_no_descriptor(cgroupfs, watch):
    before = len(psutil.Process().open_files()), psutil.Process().num_fds()
    with (
        pytest.raises(OomctlError, match=r"cannot open .*x/cgroup\.procs.*removed meanwhile"),
        herd(cgroupfs, watch, Hog("a", 0, 0, "/x")),
    ):
        pass
    assert (len(psutil.Process().open_files()), psutil.Process().num_fds()) == before
    assert children() == set()


def test_kept_hogs_live_on(cgroupfs, target, watch):
    with herd(cgroupfs, watch, Hog("a", 0, 0, "/t"), keep=True) as running:
        pid = running.runners[0].pid
    watch.note()
    assert pid not in watch.deaths
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    watch.kill([pid])
    watch.wait(lambda: pid in watch.deaths, 20)


def test_hogs_that_are_to_be_kept_go_after_an_error(cgroupfs, target, watch):
    with (
        pytest.raises(RuntimeError, match="inside"),
        herd(cgroupfs, watch, Hog("a", 0, 0, "/t"), keep=True),
    ):
        raise RuntimeError("inside")
    assert children() == set()


def test_a_missing_binary_is_said_with_its_cure(cgroupfs, target, watch, monkeypatch):
    monkeypatch.setattr(hogs.platform, "machine", lambda: "vax")
    with (
        pytest.raises(OomctlError, match=r"hog\.vax is missing.*make build"),
        herd(cgroupfs, watch, Hog("a", 0, 0, "/t")),
    ):
        pass


def test_no_controller_is_asked(cgroupfs, target, watch, monkeypatch):
    """A hog joins through an open descriptor; nothing of it goes through the descriptors' code."""
    monkeypatch.setattr(UnifiedController, "set_property", None)
    with herd(cgroupfs, watch, Hog("a", 0, 0, "/t")):
        pass
