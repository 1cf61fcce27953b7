"""`oomctl lab shell` on a terminal of the test's own."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.lab.guests import LAB, MARKS

pytestmark = MARKS

SHELL = [*LAB[:-1], "shell"]


class Terminal:
    """A terminal with a program on it, which the test types into and reads from."""

    def __init__(self, *command, rows=30, columns=101):
        self.leader, follower = pty.openpty()
        self.resize(rows, columns)
        self.mode = termios.tcgetattr(follower)
        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.follower = follower
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.leader, text.encode())

    def expect(self, pattern, timeout=60):
        """Read until a pattern comes; return its match, and forget all up to its end."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.leader], [], [], left)[0]:
                self.seen += os.read(self.leader, 4096).decode(errors="replace")
        self.seen = self.seen[found.end() :]
        return found

    def status(self):
        """Wait for the end; the terminal must be as it was."""
        status = self.process.wait(30)
        assert termios.tcgetattr(self.follower) == self.mode
        return status


@pytest.fixture
def terminal():
    made = []

    def start(*words):
        made.append(Terminal(*SHELL, *words))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()
        os.close(each.leader)
        os.close(each.follower)


def test_a_shell_has_a_terminal_and_its_exit_status_comes_through(terminal):
    shell = terminal("--timeout", "250")
    shell.expect("# ", 200)
    shell.type("stty size; tput -T xterm setaf 1 | od -c | head -n1; id -u; command -v oomctl\r")
    shell.expect(r"30 101\r\n")
    shell.expect(r"033   \[   3   1   m")
    shell.expect(r"0\r\n/\S+oomctl\r\n")
    shell.resize(44, 120)
    shell.expect("# ")
    shell.type("sleep 2; stty size\r")
    shell.expect(r"44 120\r\n")
    shell.type("sleep 1000; echo after $?\r")
    time.sleep(2)
    shell.type("\x03")
    shell.expect(r"\^C")
    shell.type("echo still $((40 + 2))\r")
    shell.expect(r"still 42\r\n")
    shell.type("tty; exit 7\r")
    shell.expect(r"/dev/hvc0\r\n")
    assert shell.status() == 7


def test_a_signal_restores_the_terminal(terminal):
    shell = terminal("--timeout", "200", "--", "sh", "-c", "echo up; sleep 1000")
    shell.expect("up", 200)
    shell.process.send_signal(signal.SIGTERM)
    shell.expect("ended by SIGTERM")
    assert shell.status() == 128 + signal.SIGTERM


def test_keys_end_a_guest_that_hangs(terminal):
    shell = terminal("--timeout", "200", "--", "sh", "-c", "stty raw; echo up; sleep 1000")
    shell.expect("up", 200)
    shell.type("\x1d\x1d\x1d")
    shell.expect("ended the guest at Ctrl-]")
    assert shell.status() == 130


def test_a_panic_is_shown_on_a_restored_terminal(terminal):
    shell = terminal("--timeout", "200", "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
    shell.expect(r"\n?oomctl: kernel-died: the guest's kernel panicked: sysrq triggered crash", 200)
    assert shell.status() == 125


def test_without_a_terminal_it_is_refused():
    done = subprocess.run(SHELL, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"are not a terminal" in done.stderr
