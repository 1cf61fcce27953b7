"""A HogSet in a fake cgroupfs: real processes, real memory, plain files."""

import errno
import os
import re
import resource
import signal
import struct
import time

import psutil
import pytest

from oomctl.cgroup.node import UnifiedController
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.hog import diagnosis, hogset, requirements, spawn
from oomctl.hog.hogset import HogSet, NotFilledError
from oomctl.hog.protocol import READ_SIZE, Report, Step, hint, interrupted, reports
from oomctl.oom.hogexit import HogExit
from oomctl.oom.holdings import Filled
from oomctl.oom.plan import Hog
from oomctl.proc.pidfd import PidfdWatch

M = 1 << 20


@pytest.fixture
def watch():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with PidfdWatch() as watching:
        yield watching
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def target(cgroupfs):
    return cgroupfs.create_cgroup("t")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def hog_set(cgroupfs, watch, *wanted, timeout=20.0, keep=False):
    return HogSet(wanted, cgroupfs, watch, timeout, keep)


def test_hogs_are_filled_when_the_block_is_entered_and_gone_when_it_is_left(
    cgroupfs, target, watch
):
    wanted = Hog("a", 8 * M, 5, "/t"), Hog("b", 4 * M, 0, "/t")
    with hog_set(cgroupfs, watch, *wanted) as running:
        a, b = running.runners
        assert [running_hog.hog for running_hog in running.runners] == list(wanted)
        assert psutil.Process(a.pid).name() == "a"
        assert 8 * M <= psutil.Process(a.pid).memory_info().rss < 9 * M
        assert 4 * M <= psutil.Process(b.pid).memory_info().rss < 5 * M
        assert (target.directory / "cgroup.procs").read_text() == "0"
        assert os.getpgid(a.pid) == a.pid  # Ctrl-C is not for hogs
        running.require_alive()
        assert str(a) == f"'a' (8M, pid {a.pid})"
    assert children() == set()
    assert {watch.deaths[running_hog.pid].signal for running_hog in (a, b)} == {signal.SIGKILL}


def test_a_set_without_hogs(cgroupfs, watch):
    with hog_set(cgroupfs, watch) as running:
        running.require_alive()


def test_an_error_in_the_block_ends_the_hogs(cgroupfs, target, watch):
    with (
        pytest.raises(RuntimeError, match="inside"),
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")),
    ):
        raise RuntimeError("inside")
    assert children() == set()


def test_a_hog_that_fails_ends_all_and_the_error_says_why(cgroupfs, target, watch, monkeypatch):
    monkeypatch.setattr(hogset, "require_memory", lambda _: None)
    wanted = Hog("good", M, 0, "/t"), Hog("huge", 1 << 60, 0, "/t")
    with (
        pytest.raises(
            UnsupportedError, match=r"'huge' \(1E, pid \d+\) could not map its memory: C"
        ),
        hog_set(cgroupfs, watch, *wanted),
    ):
        pass
    assert children() == set()


def test_the_error_names_an_adj_that_cannot_be_set(cgroupfs, target, watch):
    with (
        pytest.raises(UnsupportedError, match="could not set its oom_score_adj: Invalid argument"),
        hog_set(cgroupfs, watch, Hog("a", M, 1001, "/t")),
    ):
        pass
    assert children() == set()


def test_more_than_the_machine_has_is_refused_before_any_hog_starts(cgroupfs, target, watch):
    with (
        pytest.raises(UnsupportedError, match=r"the hogs need 1P, this machine has .* left; ask"),
        hog_set(cgroupfs, watch, Hog("a", 1 << 50, 0, "/t")),
    ):
        pass
    assert (target.directory / "cgroup.procs").read_text() == ""


def test_the_error_names_the_fate_of_a_hog_that_ended(cgroupfs, target, watch):
    with hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")) as running:
        pid = running.runners[0].pid
        os.kill(pid, signal.SIGTERM)
        watch.wait(lambda: pid in watch.deaths, 20)
        with pytest.raises(
            UnsupportedError, match=r"ended before the call: killed SIGTERM by another"
        ):
            running.require_alive()


def test_a_hog_that_dies_while_it_fills(cgroupfs, target, watch, monkeypatch):
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
        hog_set(cgroupfs, watch, Hog("a", 64 * M, 0, "/t", rate=M)),
    ):
        pass
    assert children() == set()


def test_a_hog_that_takes_too_long_is_named(cgroupfs, target, watch, monkeypatch):
    start = HogSet._start

    def start_and_stop(self, hog):
        start(self, hog)
        os.kill(self.runners[-1].pid, signal.SIGSTOP)

    monkeypatch.setattr(HogSet, "_start", start_and_stop)
    with (
        pytest.raises(OomctlError, match=r"not filled after 1.2 s: a, b; .*--timeout"),
        hog_set(cgroupfs, watch, *(Hog(n, M, 0, "/t", rate=M) for n in "ab"), timeout=0.2),
    ):
        pass
    assert children() == set()


def test_a_cgroup_that_is_gone_starts_no_hog_and_leaks_no_descriptor(cgroupfs, watch):
    before = len(psutil.Process().open_files()), psutil.Process().num_fds()
    with (
        pytest.raises(OomctlError, match=r"cannot open .*x/cgroup\.procs.*removed in the meantime"),
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/x")),
    ):
        pass
    assert (len(psutil.Process().open_files()), psutil.Process().num_fds()) == before
    assert children() == set()


def test_kept_hogs_live_on(cgroupfs, target, watch):
    with hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t"), keep=True) as running:
        pid = running.runners[0].pid
    watch.poll()
    assert pid not in watch.deaths
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    watch.kill([pid])
    watch.wait(lambda: pid in watch.deaths, 20)


def test_hogs_that_are_to_be_kept_end_after_an_error(cgroupfs, target, watch):
    with (
        pytest.raises(RuntimeError, match="inside"),
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t"), keep=True),
    ):
        raise RuntimeError("inside")
    assert children() == set()


def test_a_missing_binary_is_an_error_with_a_hint(cgroupfs, target, watch, monkeypatch):
    monkeypatch.setattr(spawn.platform, "machine", lambda: "vax")
    with (
        pytest.raises(OomctlError, match=r"hog\.vax is missing.*make build"),
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")),
    ):
        pass


def test_no_controller_is_used(cgroupfs, target, watch, monkeypatch):
    """A hog joins its cgroup through an open descriptor."""
    monkeypatch.setattr(UnifiedController, "set_property", None)
    with hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")):
        pass


# What each kind is given, and what it comes to.


def rss(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def gone(pids) -> bool:
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )


def soon(true, seconds=20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_hog_reports_how_it_was_filled(cgroupfs, target, watch):
    wanted = Hog("a", 8 * M, 0, "/t"), Hog("b", 8 * M, 0, "/t", rate=32 * M)
    with hog_set(cgroupfs, watch, *wanted) as running:
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


def test_a_hog_has_its_own_comm(cgroupfs, target, watch):
    with hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t", comm="postgres: main")) as running:
        assert psutil.Process(running.runners[0].pid).name() == "postgres: main"


def test_a_slow_rate_extends_the_timeout(cgroupfs, target, watch):
    wanted = Hog("a", 2 * M, 0, "/t", rate=4 * M)
    with hog_set(cgroupfs, watch, wanted, timeout=0.4) as running:
        assert running.runners[0].filled.took_ns > 0.4e9


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("accounted", [True, False])
def test_kernel_memory_without_the_memory_controller(cgroupfs, target, watch, kind, accounted):
    """If the kernel does not charge it, the hog must not fill forever."""
    if not accounted:
        (target.directory / "memory.current").unlink()
    wanted = Hog("a", 4 * M, 0, "/t", kind, may_fail=True)
    with hog_set(cgroupfs, watch, wanted) as running:
        (running_hog,) = running.runners
        assert bool(running_hog.filled) is not accounted
        assert running_hog.failed == (
            "could not fill its memory: Operation not supported" if accounted else ""
        )


def test_hogs_that_share_a_cgroup_count_for_themselves(cgroupfs, target, watch):
    wanted = [Hog(name, 4 * M, 0, "/t", "pipe") for name in "ab"]
    with hog_set(cgroupfs, watch, *wanted) as running:
        assert [running_hog.filled.bytes for running_hog in running.runners] == [4 * M, 4 * M]


def test_a_sharer_joins_its_own_cgroup(cgroupfs, target, watch):
    other = cgroupfs.create_cgroup("other")
    wanted = Hog("a", 4 * M, 0, "/t", "shared", sharer="/other")
    with hog_set(cgroupfs, watch, wanted) as running:
        (sharer,) = psutil.Process(running.runners[0].pid).children()
        assert (other.directory / "cgroup.procs").read_text() == "0"
        assert rss(sharer.pid) >= 4 * M
    soon(lambda: gone([sharer.pid]))


def test_a_stopped_hog_is_stopped_when_the_block_begins(cgroupfs, target, watch):
    with hog_set(cgroupfs, watch, Hog("a", 4 * M, 0, "/t", "stopped")) as running:
        pid = running.runners[0].pid
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        running.require_alive()
    assert watch.deaths[pid].signal == signal.SIGKILL


def test_a_traced_hog_does_not_delay_the_end_of_the_set(cgroupfs, target, watch):
    began = time.monotonic()
    with hog_set(cgroupfs, watch, Hog("a", 4 * M, 0, "/t", "traced", hold=1000.0)) as running:
        (tracer,) = psutil.Process(running.runners[0].pid).children()
        held_open = os.dup(running._leash[1])  # as by a caller that was forked
    assert time.monotonic() - began < 10
    os.close(held_open)
    soon(lambda: gone([tracer.pid]))
    assert children() == set()


def test_a_traced_hog_is_stopped_after_its_kill(cgroupfs, target, watch):
    with hog_set(cgroupfs, watch, Hog("a", 4 * M, 0, "/t", "traced", hold=0.4)) as running:
        pid = running.runners[0].pid
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert watch.wait(lambda: pid in watch.deaths, 20)
        assert time.monotonic() - began >= 0.4


def test_threads_and_children(cgroupfs, target, watch):
    wanted = (
        Hog("a", 8 * M, 0, "/t", "threads", tasks=4),
        Hog("b", 8 * M, 0, "/t", "forker", tasks=4),
    )
    with hog_set(cgroupfs, watch, *wanted) as running:
        threads, forker = (psutil.Process(running_hog.pid) for running_hog in running.runners)
        assert threads.num_threads() == 5
        forked = forker.children()
        assert len(forked) == 4
        assert all(rss(child.pid) >= 2 * M for child in forked)
    soon(lambda: gone([child.pid for child in forked]))


# Hogs that do not reach their size.


def test_the_error_names_a_hog_that_does_not_reach_its_size(cgroupfs, target, watch):
    wanted = Hog("a", M, 0, "/t", "file", path="/etc/passwd")
    with pytest.raises(NotFilledError) as caught, hog_set(cgroupfs, watch, wanted):
        pass
    assert caught.value.running_hog.hog is wanted
    assert caught.value.reason == "could not fill its memory: No data available"
    assert "'a' (1M, pid" in str(caught.value)
    assert "/etc/passwd is shorter than the hog" in str(caught.value)
    assert children() == set()


def test_a_hog_that_may_fail_does_not_end_the_others(cgroupfs, target, watch):
    wanted = (
        Hog("short", M, 0, "/t", "file", path="/etc/passwd", may_fail=True),
        Hog("huge", 1 << 60, 0, "/t", may_fail=True),
        Hog("good", M, 0, "/t"),
    )
    with hog_set(cgroupfs, watch, *wanted) as running:
        short, huge, good = running.runners
        assert short.failed == "could not fill its memory: No data available"
        assert huge.failed == "could not map its memory: Cannot allocate memory"
        assert (short.filled, huge.filled, good.failed) == (None, None, "")
        assert good.filled.bytes == M
        watch.wait(lambda: {short.pid, huge.pid} <= watch.deaths.keys(), 20)
        running.require_alive()


def test_a_hog_that_may_fail_may_be_killed(cgroupfs, target, watch):
    wanted = Hog("a", 64 * M, 0, "/t", rate=16 * M, may_fail=True)
    running = hog_set(cgroupfs, watch, wanted)
    start = running._start

    def start_and_kill(hog):
        start(hog)
        pid = running.runners[0].pid
        soon(lambda: rss(pid) > M)
        os.kill(pid, signal.SIGKILL)

    running._start = start_and_kill
    with running:
        (running_hog,) = running.runners
        assert running_hog.failed == "could not fill its memory: killed SIGKILL by another process"
        assert running_hog.filled is None


def test_a_hog_that_may_fail_may_be_late(cgroupfs, target, watch):
    wanted = Hog("a", 64 * M, 0, "/t", may_fail=True), Hog("b", M, 0, "/t")
    running = hog_set(cgroupfs, watch, *wanted, timeout=0.3)
    start = running._start

    def start_and_stop(hog):
        start(hog)
        if hog.may_fail:
            os.kill(running.runners[0].pid, signal.SIGSTOP)

    running._start = start_and_stop
    with running:
        late, good = running.runners
        assert re.fullmatch(r"(did|could) not .* within 0.3 s; oomctl killed it", late.failed)
        watch.wait(lambda: late.pid in watch.deaths, 20)
        assert watch.deaths[late.pid].signal == signal.SIGKILL
        assert good.filled
    assert children() == set()


@pytest.mark.parametrize(
    ("by_oom", "how"), [(True, "oom-killed"), (False, "killed SIGKILL by another process")]
)
def test_a_killed_child_of_a_forker_is_named_with_its_killer(cgroupfs, target, watch, by_oom, how):
    wanted = Hog("a", 64 * M, 0, "/t", "forker", tasks=2, rate=M, may_fail=True)
    running = hog_set(cgroupfs, watch, wanted)
    start, victims = running._start, []

    def start_and_kill(hog):
        start(hog)
        forker = psutil.Process(running.runners[0].pid)
        soon(forker.children)
        victims.append(forker.children()[0].pid)
        os.kill(victims[0], signal.SIGKILL)

    running._start = start_and_kill
    running._diagnosis._oom_killed = lambda pid: by_oom and pid in victims
    with running:
        (running_hog,) = running.runners
        said = f"could not fill its memory: its child (pid {victims[0]}) was {how}"
        assert running_hog.failed == said
        watch.wait(lambda: running_hog.pid in watch.deaths, 20)
        assert watch.deaths[running_hog.pid].status == HogExit.CHILD_KILLED


def test_a_hog_that_ended_itself_was_not_killed(cgroupfs, target, watch, monkeypatch):
    """Its argument names a parent that it does not have."""
    monkeypatch.setattr(hogset.os, "getpid", lambda: 1)
    with (
        pytest.raises(NotFilledError) as caught,
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")),
    ):
        pass
    assert caught.value.reason == "did not start: ended itself: its parent had ended before"


@pytest.mark.parametrize(
    ("last", "hog", "step"),
    [
        (Step.START, Hog("a", M), Step.START),
        (Step.TRACE, Hog("a", M, kind="traced"), Step.JOIN),
        (Step.JOIN, Hog("a", M), Step.ADJUST),
        (Step.ADJUST, Hog("a", M), Step.MAP),
        (Step.MAP, Hog("a", M), Step.FILL),
        (Step.FILL, Hog("a", M), Step.READY),
        (Step.FILL, Hog("a", M, kind="shared"), Step.SHARE),
        (Step.ADJUST, Hog("a", 0), Step.READY),
        (Step.ADJUST, Hog("a", 0, kind="shared"), Step.SHARE),
        (Step.ADJUST, Hog("a", 0, kind="forker"), Step.FILL),
    ],
)
def test_the_step_at_which_a_hog_was_interrupted(last, hog, step):
    assert interrupted(last, hog) is step


def test_a_late_hog_that_was_oom_killed_was_not_killed_by_oomctl(cgroupfs, target, watch):
    """Its tracer stops it for longer than the timeout."""
    wanted = Hog("a", 64 * M, 0, "/t", "traced", rate=M, hold=1000.0, may_fail=True)
    running = hog_set(cgroupfs, watch, wanted, timeout=0.5)
    running._timeout = 0.5
    running._diagnosis._oom_killed = lambda _pid: True
    start = running._start

    def start_and_kill(hog):
        start(hog)
        soon(lambda: rss(running.runners[0].pid) > M // 2)
        os.kill(running.runners[0].pid, signal.SIGKILL)

    running._start = start_and_kill
    with running:
        said = "could not fill its memory: oom-killed, and has not exited after 0.5 s"
        assert running.runners[0].failed == said
    assert children() == set()


def test_hogs_that_may_fail_need_no_available_memory(cgroupfs, target, watch):
    requirements.require_memory([Hog("a", 1 << 60, may_fail=True), Hog("b", 1 << 60, kind="file")])


def test_thp_is_refused_if_it_is_disabled(cgroupfs, watch, monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "_THP", tmp_path / "enabled")
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    with (
        pytest.raises(UnsupportedError, match=r"'a' needs transparent huge pages.*echo madvise"),
        hog_set(cgroupfs, watch, Hog("a", M, 0, "/t", thp=True)),
    ):
        pass


def test_the_report_is_what_the_hog_writes(cgroupfs):
    """`struct report` in hog/hog.c: four ints, three unsigned longs."""
    (report,) = reports(struct.pack("@iiiiLLL", 7, 0, 5, 9, 1, 2, 3))
    assert report == Report(Step.READY, 0, 5, 9, 1, 2, 3)
    assert READ_SIZE % struct.calcsize("@iiiiLLL") == 0


@pytest.mark.parametrize(
    ("kind", "step", "error", "said"),
    [
        ("anon", Step.FILL, errno.ENOMEM, "no limit of its cgroups is reached"),
        ("anon", Step.FILL, errno.EFAULT, "no limit of its cgroups is reached"),
        ("anon", Step.ADJUST, errno.ENOMEM, "no limit of its cgroups is reached"),
        ("anon", Step.ADJUST, errno.EINVAL, ""),
        ("hugetlb", Step.MAP, errno.ENOMEM, "vm.nr_hugepages=2`"),
        ("socket", Step.FILL, errno.ENOBUFS, "no limit of its cgroups is reached"),
        ("pipe", Step.FILL, errno.EMFILE, "fs.nr_open"),
        ("threads", Step.FILL, errno.EAGAIN, "kernel.threads-max"),
        ("traced", Step.TRACE, errno.EAGAIN, "kernel.threads-max"),
        ("slab", Step.MAP, errno.EPERM, "CAP_SYS_ADMIN"),
        ("mlock", Step.FILL, errno.EPERM, "CAP_IPC_LOCK"),
        ("mlock", Step.FILL, errno.EAGAIN, "no limit of its cgroups is reached"),
        ("file", Step.FILL, errno.ENOSPC, "TMPDIR"),
        ("file", Step.FILL, errno.EFBIG, "ulimit -f"),
        ("traced", Step.TRACE, errno.EPERM, "CAP_SYS_PTRACE"),
        ("anon", Step.JOIN, errno.EBUSY, ""),
    ],
)
def test_hints(kind, step, error, said):
    assert said in hint(step, Hog("a", 4 * M - 1, kind=kind), error)


@pytest.mark.parametrize("error", [errno.ENOENT, errno.ESPIPE, errno.EINVAL, errno.ENXIO])
def test_the_hint_for_a_path_that_is_not_a_file(error):
    wanted = Hog("a", M, kind="file", path="/x")
    assert hint(Step.MAP, wanted, error) == "name a file that can be read instead of /x"


def test_no_descriptor_is_left(cgroupfs, target, watch):
    cgroupfs.create_cgroup("other")
    before = psutil.Process().num_fds()
    wanted = [
        Hog("a", M, 0, "/t", "pipe"),
        Hog("b", M, 0, "/t", "shared", sharer="/other"),
        Hog("c", M, 0, "/t", "traced", hold=1.0),
        Hog("d", M, 0, "/t", "file", path="/etc/passwd", may_fail=True),
    ]
    with hog_set(cgroupfs, watch, *wanted):
        pass
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize(
    ("number", "cure"), [(errno.EAGAIN, "a limit on processes"), (errno.ENOEXEC, "install oomctl")]
)
def test_a_hog_that_cannot_be_started_is_an_error_with_a_hint(cgroupfs, monkeypatch, number, cure):
    cgroupfs.create_cgroup("t")

    def refused(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(spawn.resources, "built", lambda name: f"/built/{name}")
    monkeypatch.setattr(os, "posix_spawn", refused)
    with pytest.raises(OomctlError, match=r"cannot start the hog 'a' from /built/hog") as caught:
        spawn.start(
            Hog("a", 1, cgroup="/t"), cgroupfs, parent=0, alone=True, leash=None, place=None
        )
    assert caught.value.hint.startswith(cure)


def test_a_limit_that_refuses_the_start_of_a_hog_is_named(cgroupfs, target, watch, monkeypatch):
    """Until it has joined its cgroup, a hog is in that of oomctl."""
    own = cgroupfs.create_cgroup("own")
    (own.directory / "pids.max").write_text("20\n")
    monkeypatch.setattr(diagnosis.procfs, "unified_path", lambda _text: "/own")

    def refused(*_args, **_kwargs):
        (own.directory / "pids.events.local").write_text("max 1\n")
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", refused)
    with (
        pytest.raises(OomctlError, match=r"'a' from .*: R.*; pids.max of /own \(20\) is reached"),
        hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t")),
    ):
        pass


def test_a_limit_is_not_blamed_for_a_file_that_is_missing(cgroupfs, target, watch):
    """Even if another hog reached it at the same time."""
    (target.directory / "memory.max").write_text("4096\n")
    wanted = Hog("a", M, 0, "/t", "file", path="/nowhere", may_fail=True)
    running = hog_set(cgroupfs, watch, wanted)
    (target.directory / "memory.events.local").write_text("max 1\noom 1\n")
    with running:
        assert running.runners[0].failed == "could not open its file: No such file or directory"


@pytest.mark.parametrize("may_fail", [True, False])
def test_a_step_that_lacks_memory_is_not_an_error_of_oomctl(
    cgroupfs, target, watch, monkeypatch, may_fail
):
    """This holds for each step; the reports are those of a hog that joined."""
    (target.directory / "memory.max").write_text("4096\n")
    read, said = os.read, struct.pack("@iiiiLLL", Step.ADJUST, errno.ENOMEM, 0, 0, 0, 0, 0)

    def hears(fd, size):
        if size != READ_SIZE:
            return read(fd, size)
        (target.directory / "memory.events.local").write_text("max 1\noom 1\n")
        return said

    monkeypatch.setattr(hogset.os, "read", hears)
    reason = (
        "could not set its oom_score_adj: Cannot allocate memory: memory.max of /t (4K) is reached"
    )
    running = hog_set(cgroupfs, watch, Hog("a", 0, 0, "/t", may_fail=may_fail))
    if may_fail:
        with running:
            assert running.runners[0].failed == reason
    else:
        with pytest.raises(NotFilledError) as caught, running:
            pass
        assert (caught.value.reason, caught.value.hint) == (reason, "raise it, or ask for less")
