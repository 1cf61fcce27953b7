"""Kept guests without a machine: their records, and a command lent the ports of a fake guest."""

import dataclasses
import json
import os
import socket
import subprocess
import threading
import time
from io import FileIO

import psutil
import pytest

from oomctl.errors import OomctlError, UsageError
from oomctl.lab import kept, kept_run
from oomctl.lab.boot import Job
from oomctl.lab.guest_log import GuestLog
from oomctl.lab.initramfs import escaped
from oomctl.lab.keeper import Keeper
from oomctl.lab.kept import Record
from oomctl.lab.pump import Tail
from oomctl.oom.faults import Fault


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    return tmp_path


def record(name="lab", **fields):
    here = psutil.Process()
    made = Record(name, here.pid, here.create_time(), "6.12", None, 600.0)
    return dataclasses.replace(made, **fields)


def test_a_record_is_there_as_long_as_its_keeper(own_cache):
    assert kept.listed() == []
    with kept.claimed("lab") as file:
        assert kept.listed() == []  # it boots
        kept.write(file, record())
        assert kept.find("lab") == record()
        with (
            pytest.raises(UsageError, match="a guest 'lab' runs already; use it"),
            kept.claimed("lab"),
        ):
            pass
        with pytest.raises(UsageError, match="no guest 'x' runs, only lab; `oomctl lab start`"):
            kept.find("x")
    with pytest.raises(UsageError, match="no guest 'lab' runs; `oomctl lab start` starts one"):
        kept.find("lab")
    assert not [*own_cache.glob("guests/*")]


@pytest.mark.parametrize("text", ["", "x", "[]", '{"name": 1}'])
def test_a_malformed_record_is_no_guest(text):
    with kept.claimed("lab") as file:
        file.write(text)
        file.flush()
        assert kept.listed() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "a\nb", "x" * 65, "é"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="is not a name"):
        kept.valid_name(name)


def test_a_keeper_is_told_by_its_start():
    assert record().is_keeper()
    assert not record(began=psutil.Process().create_time() - 60).is_keeper()
    assert not record(pid=1 << 22).is_keeper()


def test_a_guest_that_has_ended_is_an_error():
    with pytest.raises(OomctlError, match="cannot reach the guest 'lab'"):
        kept.connect(record())


def test_a_script_arrives_on_one_line():
    script = bytes(range(1, 256)) + b"\n'%s' \\n \\0101\n"
    line = escaped(script)
    assert b"\n" not in line
    shell = ["sh", "-c", 'read -r text; printf %b "$text"']
    assert subprocess.run(shell, input=line + b"\n", capture_output=True).stdout == script


class FakeGuest:
    """A guest whose shell is a thread: it answers each request as guest-run.sh does."""

    def __init__(self, answer):
        self.process = subprocess.Popen(["sleep", "1000"])
        ends = [os.pipe() for _ in range(5)]
        self.stdout, self.stderr, self.kmsg, console, messages = (
            FileIO(read, "r") for read, _ in ends
        )
        self._writers = [FileIO(write, "w") for _, write in ends]
        self.control, self._requests = socket.socketpair()
        self.log, self.serial, self.messages = GuestLog(""), Tail(), Tail()
        self.tails = [(console, self.serial), (messages, self.messages), (self.kmsg, self.log)]
        self._answer = answer
        self.seen = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self, keeper):
        self._requests.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for each in self._writers:  # the keeper sees the guest's end
            each.close()
        keeper.join(20)
        readers = (self.stdout, self.stderr, self.kmsg, *(reader for reader, _ in self.tails[:2]))
        for each in (*readers, self.control, self._requests):
            each.close()

    def _serve(self):
        out, err, log, *_ = self._writers
        with self._requests.makefile("rb") as requests:
            for line in requests:
                words = line.split()
                self.seen.append(words[0].decode())
                if words[0] == b"run":
                    mark = b"\0" + words[1] + b" "
                    out.write(mark + b"begin\n")
                if status := self._answer(words[0].decode(), out, err, log):
                    log.write(b"14,1,1,-;oomctl-lab: " + words[1] + b"\n")
                    out.write(mark + status + b"\n")
                    err.write(mark + status + b"\n")


@pytest.fixture
def serving():
    """Serve a fake guest with this answer to each request; yields it and its record."""
    made = []

    def start(answer, idle=30.0):
        guest = FakeGuest(answer)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(kept.address("lab"))
        listener.listen()
        keeper = threading.Thread(target=Keeper(guest, listener, None, idle).serve, daemon=True)
        keeper.start()
        made.append((guest, listener, keeper))
        return guest, keeper

    yield start
    for guest, listener, keeper in made:
        guest.process.kill()
        guest.process.wait()
        guest.close(keeper)
        listener.close()


JOB = Job(("x",), {}, "/")


def test_commands_run_one_after_the_other(serving):
    def answer(verb, out, err, log):
        out.write(b"out")
        err.write(b"err")
        log.write(b"4,7,1,-;WARNING: CPU: 0 PID: 1 at a.c:1 f\n")
        return b"5"

    serving(answer)
    for _ in range(2):
        came = []
        ending = kept_run.run(record(), JOB, 20, came.append, came.append)
        assert (ending.status, sorted(filter(None, came))) == (5, [b"err", b"out"])
        assert [type(fault) for fault in ending.faults] in ([Fault], [])
    assert ending.faults == ()  # the record has come before


def test_a_command_past_its_time_is_killed_and_the_guest_goes_on(serving):
    def answer(verb, out, err, log):
        return b"0" if verb == "run" and guest.seen.count("run") > 1 else None

    guest, keeper = serving(answer)
    ending = kept_run.run(record(), JOB, 0.3, None, None)
    assert (ending.timed_out, ending.status) == (True, None)
    end = time.monotonic() + 20
    while "kill" not in guest.seen and time.monotonic() < end:
        time.sleep(0.01)
    assert guest.seen == ["run", "kill"]
    assert keeper.is_alive()


def test_a_guest_without_commands_ends_after_its_idle_time(serving):
    _guest, keeper = serving(lambda *_: b"0", idle=0.2)
    keeper.join(20)
    assert not keeper.is_alive()


def test_a_keeper_that_dies_is_told_from_its_guest():
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        answer = json.loads(kept_run._read_all(ours))
    assert answer == {"faults": [], "console": "", "qemu": "its keeper died"}
