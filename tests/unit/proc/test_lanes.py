"""Jobs in children of this process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.proc.lanes import Lanes


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = len([*Path("/proc/self/fd").iterdir()])
    yield
    assert not multiprocessing.active_children()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def run(most, *jobs):
    came = []
    with Lanes(most) as lanes:
        lanes.run(jobs, came.append)
    return came


@pytest.mark.parametrize("most", [1, 2, 9])
def test_all_that_is_sent_arrives(most):
    def job(number, send):
        for each in range(3):
            send((number, each, os.getpid()))

    came = run(most, *(partial(job, number) for number in range(5)))
    assert sorted(one[:2] for one in came) == [(n, each) for n in range(5) for each in range(3)]
    assert len({one[2] for one in came} - {os.getpid()}) == 5


def test_so_many_run_at_once():
    def job(send):
        send(1)
        time.sleep(0.3)
        send(-1)

    came = run(2, *[job] * 4)
    running = [sum(came[: n + 1]) for n in range(len(came))]
    assert max(running) == 2
    assert running[-1] == 0


def test_what_is_said_is_shown(capfd):
    def job(_send):
        os.write(2, b"one\ntw")
        os.write(2, b"o\nthree")

    assert run(2, job) == []
    assert capfd.readouterr().err == "one\ntwo\nthree\n"


def test_an_error_arrives_whole_and_ends_the_others():
    def fails(_send):
        raise UnsupportedError("no such guest", "boot it", "a\nb")

    began = time.monotonic()
    with pytest.raises(UnsupportedError) as caught:
        run(2, lambda _send: time.sleep(60), fails, fails)
    error = caught.value
    assert (error.why, error.hint, error.detail) == ("no such guest", "boot it", "a\nb")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("end", "how"), [(lambda: os._exit(3), "3"), (lambda: os.kill(os.getpid(), 9), "-9")]
)
def test_a_child_that_dies_is_an_error(end, how):
    with pytest.raises(OomctlError, match=rf"ended with status {how}; .*run it again"):
        run(2, lambda _send: end())


MAIN = """
import os, signal, sys, time
from pathlib import Path
from oomctl.cli.guard import guarded
from oomctl.proc.lanes import Lanes

def job(send):
    made = Path(sys.argv[1], str(os.getpid()))
    made.touch()
    try:
        send(None)
        time.sleep(60)
    finally:
        made.unlink()

def begun(_):
    print("begun", flush=True)

@guarded
def main():
    with Lanes(2) as lanes:
        lanes.run([job] * 2, begun)
main()
"""


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ending_signal_ends_the_children_which_clean_up(tmp_path, number, whole_group):
    command = [sys.executable, "-c", MAIN, tmp_path]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        assert len([*tmp_path.iterdir()]) == 2
        if whole_group:  # as a terminal does
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        said = process.communicate(timeout=40)[1]
    assert said.startswith("oomctl: ended by SIG")
    assert not [*tmp_path.iterdir()]


def test_children_die_with_oomctl(tmp_path):
    command = [sys.executable, "-c", MAIN, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        children = psutil.Process(process.pid).children()
        process.kill()
    assert not psutil.wait_procs(children, 30)[1]
