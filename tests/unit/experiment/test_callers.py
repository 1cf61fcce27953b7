"""Callers as real processes, which write files instead of calling the kfunc."""

import errno
import os
import re
import resource
import signal
import time
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import caller, callers
from oomctl.experiment.callers import call_together
from oomctl.experiment.triggers import Write
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.call import Stage
from oomctl.oom.plan import CALLER
from oomctl.proc.pidfd import PidfdWatch
from tests.descriptors import descriptors

COUNTS = pytest.mark.parametrize("count", [1, 2, 8])


@pytest.fixture
def watch():
    with PidfdWatch() as watching:
        yield watching


@pytest.fixture
def write(tmp_path):
    (tmp_path / "file").touch()
    return Write(tmp_path / "file", "x")


@pytest.fixture
def blocked(tmp_path):
    """Give a trigger that waits until its pipe is opened for reading."""
    os.mkfifo(tmp_path / "pipe")
    return Write(tmp_path / "pipe", "x")


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = descriptors()
    yield
    assert children() == []
    assert descriptors() == before


def children():
    """Return the PIDs of our children, dead or alive."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def after_ready(monkeypatch, do):
    """Do something with the callers when all are ready and before any calls."""
    await_ready = callers._await_ready

    def both(ready, started, *rest):
        await_ready(ready, started, *rest)
        do([*started.pids])

    monkeypatch.setattr(callers, "_await_ready", both)


def opened_by(path):
    """Return a tick that opens a pipe for reading, once it has been called three times."""
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 3:
            ticks.append(os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))

    return ticks, tick


def name(count, number=1):
    return r"the caller \(pid \d+\)" if count == 1 else rf"caller {number} of {count} \(pid \d+\)"


def test_callers_call_at_the_same_time_and_each_has_its_own_result(watch, blocked):
    ticks, tick = opened_by(blocked.path)
    results = call_together(blocked, 8, watch, 20, tick)
    ticks[3].close()
    assert len(ticks) > 3
    assert [result.ret for result in results] == [0] * 8
    assert len({result.caller for result in results}) == 8
    assert max(a.began_ns for a in results) < min(a.ended_ns for a in results)
    assert not any(result.timed_out for result in results)
    assert watch.deaths == {}


def test_a_caller_is_named_and_has_its_place(watch, blocked, tmp_path):
    procs = tmp_path / "cgroup.procs"
    procs.touch()
    seen = []

    def look():
        (pid,) = children()
        proc = Path("/proc", pid)
        seen[:] = [(proc / name).read_text().strip() for name in ("comm", "oom_score_adj")]

    call_together(blocked, 1, watch, 0.3, look, {"adj": 77, "procs": str(procs)})
    assert seen == [CALLER, "77"]
    assert procs.read_text() == "0"


def test_a_caller_that_does_not_return_is_killed_and_its_shared_memory_stays(watch, blocked):
    (result,) = call_together(blocked, 1, watch, 0.2)
    assert result.timed_out
    assert result.began_ns > 0
    assert result.duration_ns is None


def test_a_signal_that_ends_oomctl_does_not_end_a_caller(watch, blocked):
    def send():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(int(children()[0]), number)

    (result,) = call_together(blocked, 1, watch, 0.2, send)
    assert result.timed_out


@pytest.mark.parametrize("count", [1, 5])
def test_no_caller_calls_if_oomctl_is_interrupted_before(watch, write, monkeypatch, count):
    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGINT, stop)
    after_ready(monkeypatch, lambda _pids: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(StoppedError):
            call_together(write, count, watch, 20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert children() == []
    time.sleep(0.05)
    assert write.path.read_text() == ""


@pytest.mark.parametrize("count", [1, 5])
def test_callers_have_ended_when_a_call_is_interrupted(watch, blocked, count):
    class StoppedError(BaseException):
        pass

    seen = []

    def stop():
        seen.extend(children())
        raise StoppedError

    with pytest.raises(StoppedError):
        call_together(blocked, count, watch, 20, stop)
    assert len(seen) == count
    assert children() == []
    assert watch.deaths == {}


def test_a_caller_that_cannot_be_started_ends_those_before_it(watch, write, monkeypatch):
    spawn, started = os.posix_spawn, []

    def some(*args, **more):
        if len(started) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(1)
        return spawn(*args, **more)

    monkeypatch.setattr(os, "posix_spawn", some)
    with pytest.raises(OomctlError) as caught:
        call_together(write, 4, watch, 20)
    assert str(caught.value) == (
        "cannot start the process oomctl-caller: Resource temporarily unavailable; a limit on "
        "processes is reached: see pids.max of its cgroups and `ulimit -u`"
    )


ERRORS = {
    "adj": ({"adj": 5000}, "cannot write '5000' to /proc/self/oom_score_adj: Invalid argument"),
    "cgroup": ({"procs": "/gone/cgroup.procs"}, "cannot write '0' to /gone/cgroup.procs: No such"),
}


@COUNTS
@pytest.mark.parametrize("what", ERRORS)
def test_a_caller_that_cannot_have_its_place_ends_all_and_is_named(watch, write, what, count):
    place, says = ERRORS[what]
    with pytest.raises(KernelFileError) as caught:
        call_together(write, count, watch, 60, place=place)
    failed = "failed before it was ready to call"
    assert re.match(rf"{name(count, '[1-8]')} {failed}: {says}", str(caught.value))
    assert watch.deaths == {}
    assert len(caught.value.lines) == 1
    assert write.path.read_text() == ""


@COUNTS
@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "was killed by SIGKILL before it was ready to call"),
        (signal.SIGUSR1, "was killed by SIGUSR1 before it was ready to call"),
        (signal.SIGSTOP, "was not ready to call after 0.5 s: it is stopped; give more time"),
    ],
)
def test_a_caller_that_does_not_get_ready_ends_all(
    watch, write, tmp_path, monkeypatch, number, says, count
):
    os.mkfifo(tmp_path / "cgroup.procs")  # where it waits
    start = caller.start

    def started(words):
        pid = start(words)
        if words["at"] == count - 1:
            os.kill(pid, number)
        return pid

    monkeypatch.setattr(caller, "start", started)
    place = {"procs": str(tmp_path / "cgroup.procs")}
    seconds = 0.5 if number == signal.SIGSTOP else 60
    with pytest.raises(OomctlError) as caught:
        call_together(write, count, watch, seconds, place=place)
    which = "1" if number == signal.SIGSTOP else str(count)  # the first that is not ready
    says = says.replace("it is stopped", "it is (stopped|sleeping)")
    assert re.match(rf"{name(count, which)} {says}", str(caught.value))
    assert watch.deaths == {}


@COUNTS
def test_a_caller_that_is_killed_when_ready_has_not_called(watch, write, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[-1], signal.SIGKILL))
    says = rf"{name(count, count)} was killed by SIGKILL before it wrote {write.path}"
    if count == 1:
        with pytest.raises(OomctlError, match=says):
            call_together(write, count, watch, 60)
    else:
        *others, result = call_together(write, count, watch, 60)
        assert re.fullmatch(says, result.failed)
        assert (result.ret, result.stage) == (None, Stage.NOT_RUN)
        assert all(each.ret == 0 and not each.failed for each in others)


@COUNTS
def test_a_caller_that_is_stopped_when_ready_is_late(watch, write, monkeypatch, count):
    after_ready(monkeypatch, lambda pids: os.kill(pids[0], signal.SIGSTOP))
    says = r"was killed at the timeout of 0.5 s \(state: stopped\) before it wrote"
    if count == 1:
        with pytest.raises(OomctlError, match=f"{says} .*; give more time with --timeout"):
            call_together(write, count, watch, 0.5)
    else:
        result, *others = call_together(write, count, watch, 0.5)
        assert re.match(f"{name(count)} {says}", result.failed)
        assert not any(each.failed or each.timed_out for each in others)


@COUNTS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_the_result_says_what_killed_a_caller_while_it_wrote(watch, blocked, number, count):
    ticks, tick = opened_by(blocked.path)
    killed = []

    def kill_one():
        if not killed:
            killed.append(min(map(int, children())))
            time.sleep(0.1)  # it may not have begun
            os.kill(killed[0], number)
        elif not Path("/proc", str(killed[0])).exists():
            tick()

    results = call_together(blocked, count, watch, 60, kill_one)
    for opened in ticks[3:4]:
        opened.close()
    (result,) = [each for each in results if each.caller == killed[0]]
    says = f"was killed by {signal.Signals(number).name} while it wrote {blocked.path}"
    assert re.fullmatch(rf"{name(count, '[1-8]')} {says}", result.failed)
    assert [each.failed for each in results].count("") == count - 1


def test_a_write_without_a_free_descriptor_is_an_error_of_oomctl(watch, write, monkeypatch):
    def full(pids):
        resource.prlimit(pids[0], resource.RLIMIT_NOFILE, (0, 0))

    after_ready(monkeypatch, full)
    (result,) = call_together(write, 1, watch, 20)
    assert re.search(
        r"failed while it wrote .*: cannot write 'x' to .*: Too many open", result.failed
    )


def test_without_seals_against_execution_the_memory_is_made_all_the_same(watch, write, monkeypatch):
    create = os.memfd_create

    def older(name, flags=0):
        if flags & caller._MFD_NOEXEC_SEAL:
            raise OSError(errno.EINVAL, "Invalid argument")
        return create(name)

    monkeypatch.setattr(os, "memfd_create", older)
    assert call_together(write, 1, watch, 20)[0].ret == 0


def test_what_the_caller_leaves_is_laid_out_as_it_is_read():
    assert caller.SharedResult.error.offset + 4 == 48
    source = Path(callers.__file__).parents[1].joinpath("caller/caller.c").read_text()
    parts = re.search(r"enum part \{ ADJUST = 1, (.*?) \};", source)
    names = [each.strip() for each in parts[1].split(",")]
    assert ["ADJUST", *names] == [part.name for part in caller.Part]


def test_every_error_of_a_caller_has_its_words():
    words = dict.fromkeys(("adj", "procs", "usage", "stall", "write", "text"), "/x/memory.y")
    for part in caller.Part:
        error = caller.error_of(caller.SharedResult(failed=part, error=errno.EIO), words)
        assert len(error.lines) == 1
        assert isinstance(error, UnsupportedError) == (part == caller.Part.REMOVED)
    assert caller.error_of(caller.SharedResult(), words) is None
