"""Hogs of a HogSet that cannot be started, do not reach their size, or are killed before."""

import errno
import os
import re
import signal
import struct

import psutil
import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.hog import diagnosis, hogset, requirements, spawn
from oomctl.hog.hogset import NotFilledError
from oomctl.hog.protocol import READ_SIZE, Report, Step, hint, interrupted, reports
from oomctl.oom.hogexit import HogExit
from oomctl.oom.plan import Hog
from oomctl.proc import openfiles
from tests.unit.hog.binary import M, children, size_of, soon


def test_the_error_names_a_hog_that_does_not_reach_its_size(hog_set, target):
    wanted = Hog("a", M, 0, "/t", "file", path="/etc/passwd")
    with pytest.raises(NotFilledError) as caught, hog_set(wanted):
        pass
    assert caught.value.running_hog.hog is wanted
    assert caught.value.reason == "could not fill its memory: No data available"
    assert "'a' (1M, pid" in str(caught.value)
    assert "/etc/passwd is shorter than the hog" in str(caught.value)
    assert children(os.getpid()) == []


def test_a_hog_that_may_fail_does_not_end_the_others(hog_set, target, watch):
    wanted = (
        Hog("short", M, 0, "/t", "file", path="/etc/passwd", may_fail=True),
        Hog("huge", 1 << 60, 0, "/t", may_fail=True),
        Hog("good", M, 0, "/t"),
    )
    with hog_set(*wanted) as running:
        short, huge, good = running.runners
        assert short.failed == "could not fill its memory: No data available"
        assert huge.failed == "could not map its memory: Cannot allocate memory"
        assert (short.filled, huge.filled, good.failed) == (None, None, "")
        assert good.filled.bytes == M
        watch.wait(lambda: {short.pid, huge.pid} <= watch.deaths.keys(), 20)
        running.require_alive()


def test_a_hog_that_may_fail_may_be_killed(hog_set, target):
    wanted = Hog("a", 64 * M, 0, "/t", rate=16 * M, may_fail=True)
    running = hog_set(wanted)
    start = running._start

    def start_and_kill(hog):
        start(hog)
        pid = running.runners[0].pid
        soon(lambda: size_of(pid, "VmRSS") > M)
        os.kill(pid, signal.SIGKILL)

    running._start = start_and_kill
    with running:
        (running_hog,) = running.runners
        assert running_hog.failed == "could not fill its memory: killed SIGKILL by another process"
        assert running_hog.filled is None


def test_a_hog_that_may_fail_may_be_late(hog_set, target, watch):
    wanted = Hog("a", 64 * M, 0, "/t", may_fail=True), Hog("b", M, 0, "/t")
    running = hog_set(*wanted, timeout=0.3)
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
    assert children(os.getpid()) == []


@pytest.mark.parametrize(
    ("by_oom", "how"), [(True, "oom-killed"), (False, "killed SIGKILL by another process")]
)
def test_a_killed_child_of_a_forker_is_named_with_its_killer(hog_set, target, watch, by_oom, how):
    wanted = Hog("a", 64 * M, 0, "/t", "forker", tasks=2, rate=M, may_fail=True)
    running = hog_set(wanted)
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


def test_a_hog_that_ended_itself_was_not_killed(hog_set, target, monkeypatch):
    """Its argument names a parent that it does not have."""
    monkeypatch.setattr(hogset.os, "getpid", lambda: 1)
    with (
        pytest.raises(NotFilledError) as caught,
        hog_set(Hog("a", 0, 0, "/t")),
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


def test_a_late_hog_that_was_oom_killed_was_not_killed_by_oomctl(hog_set, target):
    """Its tracer stops it for longer than the timeout."""
    wanted = Hog("a", 64 * M, 0, "/t", "traced", rate=M, hold=1000.0, may_fail=True)
    running = hog_set(wanted, timeout=0.5)
    running._timeout = 0.5
    running._diagnosis._oom_killed = lambda _pid: True
    start = running._start

    def start_and_kill(hog):
        start(hog)
        soon(lambda: size_of(running.runners[0].pid, "VmRSS") > M // 2)
        os.kill(running.runners[0].pid, signal.SIGKILL)

    running._start = start_and_kill
    with running:
        said = "could not fill its memory: oom-killed, and has not exited after 0.5 s"
        assert running.runners[0].failed == said
    assert children(os.getpid()) == []


def test_hogs_that_may_fail_need_no_available_memory(cgroupfs, target, watch):
    requirements.require_memory([Hog("a", 1 << 60, may_fail=True), Hog("b", 1 << 60, kind="file")])


def test_too_many_hogs_for_the_open_files_are_refused_before_the_first(hog_set, monkeypatch):
    monkeypatch.setattr(openfiles, "raise_limit", lambda: 70)
    requirements.require_files([Hog(f"h{n}", M) for n in range(3)])
    wanted = [Hog(f"h{n}", 0, 0, "/t") for n in range(4)]
    says = r"4 hogs take 72 open files, and oomctl may have 70; ulimit -n 72"
    with pytest.raises(UnsupportedError, match=says), hog_set(*wanted):
        pass
    assert children(os.getpid()) == []


def test_thp_is_refused_if_it_is_disabled(hog_set, monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "_THP", tmp_path / "enabled")
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    with (
        pytest.raises(UnsupportedError, match=r"'a' needs transparent huge pages.*echo madvise"),
        hog_set(Hog("a", M, 0, "/t", thp=True)),
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


def test_no_descriptor_is_left(hog_set, cgroupfs, target):
    cgroupfs.create_cgroup("other")
    before = psutil.Process().num_fds()
    wanted = [
        Hog("a", M, 0, "/t", "pipe"),
        Hog("b", M, 0, "/t", "shared", sharer="/other"),
        Hog("c", M, 0, "/t", "traced", hold=1.0),
        Hog("d", M, 0, "/t", "file", path="/etc/passwd", may_fail=True),
    ]
    with hog_set(*wanted):
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
    with (
        spawn.Starter(cgroupfs, parent=0, leash=None, place=None) as starter,
        pytest.raises(OomctlError, match=r"cannot start the hog 'a' from /built/hog") as caught,
    ):
        starter.start(Hog("a", 1, cgroup="/t"), alone=True)
    assert caught.value.hint.startswith(cure)


def test_a_limit_that_refuses_the_start_of_a_hog_is_named(hog_set, cgroupfs, target, monkeypatch):
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
        hog_set(Hog("a", 0, 0, "/t")),
    ):
        pass


def test_a_limit_is_not_blamed_for_a_file_that_is_missing(hog_set, target):
    """Even if another hog reached it at the same time."""
    (target.directory / "memory.max").write_text("4096\n")
    wanted = Hog("a", M, 0, "/t", "file", path="/nowhere", may_fail=True)
    running = hog_set(wanted)
    (target.directory / "memory.events.local").write_text("max 1\noom 1\n")
    with running:
        assert running.runners[0].failed == "could not open its file: No such file or directory"


@pytest.mark.parametrize("may_fail", [True, False])
def test_a_step_that_lacks_memory_is_not_an_error_of_oomctl(hog_set, target, monkeypatch, may_fail):
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
    running = hog_set(Hog("a", 0, 0, "/t", may_fail=may_fail))
    if may_fail:
        with running:
            assert running.runners[0].failed == reason
    else:
        with pytest.raises(NotFilledError) as caught, running:
            pass
        assert (caught.value.reason, caught.value.hint) == (reason, "raise it, or ask for less")
