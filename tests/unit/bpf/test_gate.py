"""If the holder of oom_lock does not hold it, the error says how that process ended."""

import errno
import os
import signal
import time

import pytest

from oomctl.bpf import gate
from oomctl.bpf.gate import Gate, GateLogStruct
from oomctl.errors import OomctlError, UnsupportedError
from tests.descriptors import descriptors


@pytest.fixture
def closed(monkeypatch):
    """A gate without a kernel, which no process passes."""
    made = object.__new__(Gate)
    monkeypatch.setattr(made, "_log", GateLogStruct)
    monkeypatch.setattr(made, "_set", lambda _gate: None)
    monkeypatch.setattr(gate, "_PATIENCE", 1.0)
    return made


def refuse():
    raise UnsupportedError("the cgroup was removed", "run it again")


@pytest.mark.parametrize(
    ("enter", "says"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL"),
        (refuse, "failed: the cgroup was removed; run it again"),
        (lambda: errno.EPERM, "could not run the BPF program: Operation not permitted"),
        (lambda: 0, "returned from the call without passing the gate"),
        (lambda: time.sleep(60), "has not called out_of_memory() after 1 s"),
    ],
)
def test_a_holder_that_does_not_get_the_lock(closed, enter, says):
    before, began = descriptors(), time.monotonic()
    with (
        pytest.raises(OomctlError) as caught,
        closed.shut(enter, lambda: False, 1.0),
    ):
        pytest.fail("no task holds the lock")
    assert str(caught.value).startswith("oom_lock is not held: its holder (pid ")
    assert str(caught.value).endswith(f") {says}")
    assert time.monotonic() - began < 30
    assert descriptors() == before
