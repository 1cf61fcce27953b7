"""Calls that meet oom_lock held by another: held on purpose, so no race is won by luck."""

import os
import signal
import threading
import time
from functools import partial

import pytest

from oomctl.bpf.declare import DeclareProgram
from oomctl.bpf.gate import Gate
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call
from tests.kernel.conftest import CGROUPS
from tests.results import rises_of

SLOT = 200


@pytest.fixture(scope="module")
def gate():
    with Gate() as made:
        yield made


@pytest.fixture
def warm(declare):
    """What the first command of a machine imports takes nearly as long as the lock may be held."""
    declare("--hogs", "0")


@pytest.fixture
def while_held(gate, cgroup, warm):
    """Do something while a declaration on an empty cgroup holds oom_lock: for 18 s at most.

    RCU reports a stall after 21 s. What takes longer, on a busy machine, is done again.
    """

    def attempt(do):
        with DeclareProgram() as program:
            call = Call(None, 0, WAIT_ON_OOM_LOCK)
            with gate.shut(lambda: program.run(call, empty.stat().st_ino, SLOT), lambda: False, 18):
                done = do()
                in_time = not gate.held().until_ns
            assert program.read(SLOT).ret == 0
        return in_time, done

    def run(do):
        for _ in range(4):
            in_time, done = attempt(do)
            if in_time:
                return done
        pytest.skip("too slow: four times it took longer than oom_lock may be held")

    empty = CGROUPS / "empty"
    empty.mkdir()
    try:
        yield run
    finally:
        empty.rmdir()


# While a task stands in the gate no RCU grace period ends: nothing can be attached to the place
# where it stands, and no process can change its cgroup. So there is no tracing here, and no hogs.
@pytest.mark.usefixtures("no_tracing")
def test_a_held_lock_is_busy_for_a_caller_that_does_not_wait(declare, cgroup, while_held):
    code, result = while_held(lambda: declare("--cgroup", str(cgroup), "--no-wait"))
    assert code == 1
    assert (result["calls"][0]["ret"], result["calls"][0]["errno"]) == (-16, "EBUSY")
    assert result["verdict"] == "busy"
    assert not any(rises_of(result, result["calls"][0]["target"]).values())


@pytest.mark.usefixtures("no_tracing")
def test_a_caller_that_waits_for_a_held_lock_is_interrupted(declare, cgroup, while_held):
    code, result = while_held(lambda: declare("--cgroup", str(cgroup), "--timeout", "0.5"))
    assert code == 1
    # The caller was killed while it waited; its result was written by the BPF program.
    assert (result["calls"][0]["ret"], result["calls"][0]["errno"]) == (-4, "EINTR")
    assert result["calls"][0]["timed_out"] is True
    assert result["verdict"] == "interrupted"


def test_contention_is_made_every_time(gate, cgroup):
    with DeclareProgram() as program:
        target = cgroup.stat().st_ino
        for _ in range(20):
            enter = partial(program.run, Call(None, 0, WAIT_ON_OOM_LOCK), target, SLOT)
            with gate.shut(enter, lambda: False, 10):
                program.run(Call(None, 0, 0), target, 0)
                assert program.read(0).ret == -16
            held, now = gate.held(), time.monotonic_ns()
            assert held.from_ns < held.until_ns < now
            program.run(Call(None, 0, 0), target, 0)
            assert program.read(0).ret == 0


def test_the_gate_opens_by_itself(gate, cgroup):
    with DeclareProgram() as program:
        target = cgroup.stat().st_ino
        enter = partial(program.run, Call(None, 0, WAIT_ON_OOM_LOCK), target, SLOT)
        with gate.shut(enter, lambda: False, 0.3):
            program.run(Call(None, 0, WAIT_ON_OOM_LOCK), target, 0)
            assert program.read(0).ret == 0
        held = gate.held()
        assert held.until_ns - held.from_ns >= 300_000_000


class InterruptionError(Exception):
    """Raised by a signal, as Ctrl-C is."""


def test_interrupted_before_a_task_stands_in_it_the_gate_is_open(gate, cgroup, monkeypatch):
    def interrupt(_number, _frame):
        raise InterruptionError

    def late(enter, most):
        time.sleep(0.5)
        return hold(enter, most)

    hold = gate._hold
    monkeypatch.setattr(gate, "_hold", late)
    before = signal.signal(signal.SIGUSR1, interrupt)
    began = time.monotonic()
    try:
        with DeclareProgram() as program:
            target = cgroup.stat().st_ino
            enter = partial(program.run, Call(None, 0, WAIT_ON_OOM_LOCK), target, SLOT)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            with pytest.raises(InterruptionError), gate.shut(enter, lambda: False, 15):
                pytest.fail("a caller was in the gate before the signal came")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 8


def test_what_passes_is_noted(gate, cgroup):
    before = gate.passed()
    with DeclareProgram() as program:
        target = cgroup.stat().st_ino
        program.run(Call(None, 7, 0), target, 0)
    [passage] = gate.passages(before)
    assert (passage.memcg_id, passage.order, passage.gfp_mask) == (target, 7, 0xCC0)
    assert (passage.zonelist, passage.nodemask, passage.totalpages_before) == (0, 0, 0)
    assert passage.totalpages > 1
