"""Guests that hang, flood and die, and an `oomctl lab run` that is ended: nothing is left of it."""

import os
import pty
import random
import signal
import subprocess
import threading
import time

import psutil
import pytest

from tests.lab.conftest import machines
from tests.lab.guests import LAB, MARKS, lab

pytestmark = MARKS

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MEMORY = 150 << 20


def started(*words, script="echo up; sleep 1000", **options):
    """Start a lab and wait until its command runs."""
    process = subprocess.Popen(
        [*LAB, *words, "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    assert process.stdout.readline() == b"up\n"
    return process


def qemu(process):
    children = psutil.Process(process.pid).children()
    (found,) = (child for child in children if child.name().startswith("qemu"))
    return found


def ended(process, timeout=20):
    """Wait for its end; return its exit code and what it said."""
    _, said = process.communicate(timeout=timeout)
    assert b"Traceback" not in said
    return process.returncode, said.decode()


@pytest.mark.parametrize("number", ENDS)
def test_whatever_ends_it_ends_the_machine(number, own_cache):
    process = started()
    assert machines(own_cache)
    process.send_signal(number)
    code, said = ended(process, 10)
    if number == signal.SIGKILL:
        assert (code, said) == (-number, "")
    else:
        assert code == 128 + number
        assert said.count("\n") == 1


def test_closed_terminal_ends_the_machine():
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*LAB, "--", "sh", "-c", "echo up; sleep 1000"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=_take_terminal,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    while b"up" not in seen:
        seen += os.read(leader, 1000)
    os.close(leader)
    assert process.wait(timeout=10) == 128 + signal.SIGHUP


def _take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_reader_of_one_line():
    words = " ".join(LAB)
    shell = f"{words} -- sh -c 'yes; echo never >&2' | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"y\n141\n", b"")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_reader_that_does_not_read_holds_nothing_up(stream):
    begun = time.monotonic()
    read, write = os.pipe()
    script = f"yes >/dev/{stream}"
    outputs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: write}
    code = subprocess.run([*LAB, "--timeout", "30", "--", "sh", "-c", script], **outputs).returncode
    assert code == 124
    assert time.monotonic() - begun < 60
    os.close(read)
    os.close(write)


def test_machine_that_is_killed():
    process = started()
    qemu(process).kill()
    code, said = ended(process)
    assert code == 125
    assert said.splitlines()[0] == "oomctl: the guest vanished: its QEMU was killed by SIGKILL"


def test_machine_that_stands_still():
    process = started("--timeout", "30")
    qemu(process).suspend()
    code, said = ended(process, 40)
    assert code == 124
    assert "ended the guest at the timeout of 30s, the command was running" in said


def test_command_that_spins():
    process = started("--timeout", "30", script="echo up; while :; do :; done")
    assert ended(process, 40)[0] == 124


@pytest.mark.parametrize("letter", ["o", "b"])
def test_guest_that_switches_itself_off(letter):
    code, said = ended(started(script=f"echo up; echo {letter} >/proc/sysrq-trigger; sleep 1000"))
    assert code == 125
    assert said.splitlines()[0] == "oomctl: the guest vanished: it was switched off"


def test_guest_that_kills_everything_but_the_first_process():
    # the process that passes "up" on dies as well, so it gets the time for that
    code, _said = ended(started(script="echo up; sleep 2; kill -9 -1; exit 5"), 60)
    assert code in (5, 128 + signal.SIGKILL)


def test_junk_on_the_console_is_shown_harmlessly():
    script = (
        "echo up; { head -c 20000 /dev/urandom; printf '\\033]0;x\\007\\033[2J\\033[31m\\n'; } "
        ">/dev/console; echo c >/proc/sysrq-trigger"
    )
    code, said = ended(started(script=script))
    assert code == 125
    first, *rest = said.splitlines()
    assert first == "oomctl: kernel-died: the guest's kernel panicked: sysrq triggered crash"
    assert all(line.isprintable() for line in rest)
    assert max(map(len, rest)) < 250


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("head -c 50000000 /dev/zero", 50_000_000),
        ("head -c 20000000 /dev/urandom", 20_000_000),
        ("tr '\\0' x </dev/zero", 100_000_000),
        (
            ". /run/oomctl/settings; printf '\\0%s ' $nonce; cat /dev/zero",
            0,
        ),
    ],
)
def test_floods_are_not_kept_in_memory(source, size):
    process = started("--timeout", "120", script=f"echo up; {source}")
    peak = Peak(process)
    came = 0
    while (data := process.stdout.read1(1 << 20)) and came < (size or 50_000_000):
        came += len(data)
    process.stdout.close()
    with process.stderr as said:
        assert b"Traceback" not in said.read()
    assert process.wait() in (0, 141)
    assert came >= size
    assert peak.stop() < MEMORY


def test_flood_of_the_console_is_not_kept_in_memory():
    process = started("--timeout", "30", script="echo up; tr '\\0' x </dev/zero >/dev/console")
    peak = Peak(process)
    code, said = ended(process, 40)
    assert code == 124
    assert len(said) < 1000
    assert peak.stop() < MEMORY


class Peak:
    """The most memory that a process was seen to have."""

    def __init__(self, process):
        self.most = 0
        self.process = psutil.Process(process.pid)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.over.wait(0.05):
            try:
                self.most = max(self.most, self.process.memory_info().rss)
            except psutil.NoSuchProcess:
                return

    def stop(self):
        self.over.set()
        self.thread.join()
        assert self.most
        return self.most


def test_killed_twenty_times_at_random_moments(own_cache):
    """The next command removes what a SIGKILL leaves; another signal leaves nothing."""
    chance = random.Random(int(os.environ.get("OOMCTL_LAB_SEED", "6")))
    for _ in range(20):
        number, after = chance.choice(ENDS), chance.uniform(0.3, 8)
        process = subprocess.Popen([*LAB, "--", "sleep", "1000"], stderr=subprocess.PIPE)
        time.sleep(after)
        process.send_signal(number)
        code, said = ended(process, 10)
        assert code in (-number, 128 + number), (number, after, said)
        if number != signal.SIGKILL:
            assert not list(own_cache.glob("scratch/*/")), (number, after)
        deadline = time.monotonic() + 2
        while machines(own_cache):
            assert time.monotonic() < deadline, (number, after, machines(own_cache))
            time.sleep(0.05)
    assert lab("--", "true").returncode == 0
