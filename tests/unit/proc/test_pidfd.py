import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from oomctl.oom.fate import Death
from oomctl.proc.pidfd import PidfdWatch


def spawn(*command) -> int:
    """Start a command whose wait status is not read here."""
    return os.posix_spawnp(command[0], command, os.environ)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def wait(watch, *pids):
    assert watch.wait(lambda: set(pids) <= watch.deaths.keys(), 20)
    return [watch.deaths[pid] for pid in pids]


def test_the_exit_status_of_a_child(watch):
    pid = spawn("sh", "-c", "exit 3")
    before = time.monotonic_ns()
    watch.add(pid, reap=True)
    (death,) = wait(watch, pid)
    assert (death.pid, death.status, death.signal) == (pid, 3, None)
    assert before <= death.at_ns <= time.monotonic_ns()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)  # reaped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_the_signal_that_ended_a_child(watch, number):
    pid = spawn("sleep", "60")
    watch.add(pid, reap=True)
    watch.poll()
    assert pid not in watch.deaths
    os.kill(pid, number)
    (death,) = wait(watch, pid)
    assert (death.status, death.signal) == (None, number)


def test_a_process_that_is_not_our_child_has_no_status(watch):
    shell = subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    )
    with shell:
        pid = int(shell.stdout.readline())
        watch.add(pid)
        os.kill(pid, signal.SIGTERM)
        (death,) = wait(watch, pid)
        assert death == Death(pid, death.at_ns)


def test_a_child_that_is_not_to_be_reaped_is_left_to_its_owner(watch):
    process = subprocess.Popen(["sh", "-c", "exit 5"])
    watch.add(process.pid)
    (death,) = wait(watch, process.pid)
    assert (death.status, death.signal) == (None, None)
    assert process.wait() == 5


def test_a_process_that_is_gone_is_dead_since_now(watch):
    process = subprocess.Popen(["true"])
    process.wait()
    watch.add(process.pid)
    assert watch.deaths[process.pid].status is None
    assert watch.watched() == {process.pid}


def test_a_process_that_is_gone_is_dead_since_a_known_time(watch):
    child = subprocess.Popen(["true"])
    child.wait()
    watch.add(child.pid, gone_ns=7)
    assert watch.deaths[child.pid].at_ns == 7


def test_a_thread_cannot_be_watched_and_counts_as_dead(watch):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        watch.add(thread.native_id)
        assert watch.deaths.keys() == {thread.native_id}
    finally:
        stop.set()
        thread.join()


def test_waiting_ends_at_the_timeout(watch):
    pid = spawn("sleep", "60")
    watch.add(pid, reap=True)
    began = time.monotonic()
    assert not watch.wait(lambda: pid in watch.deaths, 0.2)
    assert 0.15 < time.monotonic() - began < 10
    watch.kill([pid])
    assert wait(watch, pid)[0].signal == signal.SIGKILL


def test_only_those_are_killed_that_are_watched(watch):
    ours, other = spawn("sleep", "60"), spawn("sleep", "60")
    try:
        watch.add(ours, reap=True)
        watch.kill([ours, other])
        assert wait(watch, ours)[0].signal == signal.SIGKILL
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_killing_a_dead_process_is_not_an_error(watch):
    pid = spawn("true")
    watch.add(pid, reap=True)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    watch.kill([pid])
    assert wait(watch, pid)[0].status == 0
    watch.kill([pid])


def test_many_children_take_a_descriptor_each_and_leave_none(watch):
    before = descriptors()
    pids = [spawn("true") for _ in range(50)]
    for pid in pids:
        watch.add(pid, reap=True)
    assert watch.watched() == set(pids)
    assert {death.status for death in wait(watch, *pids)} == {0}
    assert descriptors() == before


def test_leaving_closes_the_pidfds_and_kills_no_process():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    pid = spawn("sleep", "60")
    before = descriptors()
    with PidfdWatch() as watch:
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= limits[1]
        watch.add(pid, reap=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert descriptors() == before
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_child_that_a_tracer_holds_does_not_block(watch):
    """Its pidfd says that it has ended, but only its tracer may reap it."""
    pid = spawn("sleep", "60")
    watch.add(pid, reap=True)
    ready, told = os.pipe()
    tracer = os.fork()
    if not tracer:
        seized = ctypes.CDLL(None).ptrace(0x4206, pid, 0, 0)  # PTRACE_SEIZE
        os.write(told, b"n" if seized else b"y")
        time.sleep(60)
        os._exit(0)
    try:
        if os.read(ready, 1) == b"n":
            pytest.skip("tracing is not allowed here")
        watch.kill([pid])
        began = time.monotonic()
        assert not watch.wait(lambda: pid in watch.deaths, 0.5)
        assert time.monotonic() - began < 10
    finally:
        os.kill(tracer, signal.SIGKILL)
        os.waitpid(tracer, 0)
        os.close(ready)
        os.close(told)
    assert wait(watch, pid)[0].signal == signal.SIGKILL


def test_what_wakes_it_is_asked_at_once(watch):
    ready, told = os.pipe()
    os.write(told, b"x")
    asked = []

    def done():
        asked.append(1)
        return len(asked) > 1 and os.read(ready, 1) == b"x"

    before = descriptors()
    began = time.monotonic()
    assert watch.wait(done, 60, wake=ready)
    assert time.monotonic() - began < 10
    assert descriptors() == before
    os.close(ready)
    os.close(told)


def test_a_timeout_beyond_what_poll_takes(watch):
    pid = spawn("true")
    watch.add(pid, reap=True)
    assert watch.wait(lambda: pid in watch.deaths, 1e9)
