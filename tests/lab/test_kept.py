"""`oomctl lab start`, `exec` and `stop` with real guests, and what ends these."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.lab.conftest import leftovers, machines
from tests.lab.guests import LAB, MARKS

pytestmark = MARKS


def oomctl(*words, **options):
    return subprocess.run([*LAB[:-1], *words], capture_output=True, check=False, **options)


def start(name, *words):
    done = oomctl("start", "--name", name, "--owner", str(os.getpid()), *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"guest {name} is ready".encode())


def execute(name, *words, options=()):
    return oomctl("exec", "--name", name, *options, "--", *words)


def keeper(own_cache, name):
    lines = oomctl("status").stdout.decode().splitlines()
    [line] = [line for line in lines if f"guest     {name}: " in line]
    return psutil.Process(int(line.split()[-1]))


def gone(own_cache):
    end = time.monotonic() + 20
    while leftovers(own_cache) and time.monotonic() < end:
        time.sleep(0.1)
    return not leftovers(own_cache) and b"guest  " not in oomctl("status").stdout


@pytest.fixture
def kept(own_cache, nothing_is_left):
    """Start guests, and stop those that still run."""
    names = []

    def begin(name, *words):
        names.append(name)
        start(name, *words)

    yield begin
    for name in names:
        oomctl("stop", "--name", name)


def test_commands_share_a_guest_and_streams_come_apart(kept, own_cache, tmp_path):
    kept("a")
    done = execute("a", "sh", "-c", "echo out; echo err >&2; echo 1 >/run/x; pwd; exit 9")
    assert (done.returncode, done.stderr) == (9, b"err\n")
    assert done.stdout == f"out\n{Path.cwd()}\n".encode()
    begun = time.monotonic()
    assert execute("a", "cat", "/run/x").stdout == b"1\n"
    assert time.monotonic() - begun < 20  # a boot takes longer than 0.2 s on any machine
    odd = ["a b", "", "it's \\n %s", "new\nline", "ünï", os.fsdecode(b"\xff")]
    show = "import sys; print(ascii(sys.argv[1:]))"
    assert execute("a", "python", "-c", show, *odd).stdout.decode().strip() == ascii(odd)
    late = execute("a", "sleep", "1000", options=["--timeout", "2"])
    assert (late.returncode, b"killed the command at the timeout" in late.stderr) == (124, True)
    client = subprocess.Popen([*LAB[:-1], "exec", "--name", "a", "--", "sh", "-c", "sleep 1000"])
    time.sleep(3)
    client.kill()
    client.wait()
    assert execute("a", "pgrep", "-x", "sleep").returncode == 1
    died = execute("a", "sh", "-c", "echo c >/proc/sysrq-trigger")
    assert died.returncode == 125
    assert b"panicked: sysrq triggered crash" in died.stderr
    assert execute("a", "true").returncode == 2
    assert gone(own_cache)


def test_two_guests_by_name(kept, own_cache):
    kept("a")
    kept("b", "--memory", "512M")
    assert execute("b", "sh", "-c", "echo b >/run/name").returncode == 0
    assert execute("a", "test", "-e", "/run/name").returncode == 1
    again = oomctl("start", "--name", "a")
    assert (again.returncode, b"a guest 'a' runs already" in again.stderr) == (2, True)
    assert oomctl("stop", "--name", "a").returncode == 0
    assert execute("b", "cat", "/run/name").stdout == b"b\n"
    keeper(own_cache, "b").kill()
    assert gone(own_cache)


def test_a_guest_ends_with_its_owner(own_cache, nothing_is_left):
    owner = subprocess.Popen(["sleep", "1000"])
    assert oomctl("start", "--owner", str(owner.pid)).returncode == 0
    assert execute("lab", "true").returncode == 0
    owner.kill()
    owner.wait()
    assert gone(own_cache)


def test_a_guest_ends_after_its_idle_time(kept, own_cache):
    kept("a", "--idle", "4")
    assert gone(own_cache)


def test_an_interrupted_start_leaves_nothing(own_cache, nothing_is_left):
    line = [*LAB[:-1], "start", "--no-restore"]  # it boots, for some seconds
    process = subprocess.Popen(line, stderr=subprocess.PIPE)
    while not any("qemu" in each.info["cmdline"][0] for each in machines(own_cache)):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert gone(own_cache)
