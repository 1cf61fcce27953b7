"""Callers: processes of their own that pull a trigger together, and can be ended while they wait.

The BPF program runs in the task that calls bpf(2). What a caller leaves in shared memory and in the
program's map outlives it.
"""

import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from ctypes import Structure, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from oomctl.answer import Answer
from oomctl.errors import OomctlError
from oomctl.kernel import child
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.interrupt import let_through
from oomctl.plan import CALLER

COMM = CALLER.encode()


class Note(Structure):
    """What a caller leaves for its parent; times are CLOCK_MONOTONIC in ns."""

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("reclaimed", c_int64),
        ("ret", c_int32),
        ("attempts", c_uint32),
        ("spared", c_uint32),
        ("asked_to_reclaim", c_uint32),
    ]


@dataclass(frozen=True)
class Ended:
    """How one caller ended: its number, PID and exit status, and whether it had to be killed."""

    number: int
    pid: int
    status: int | None
    timed_out: bool


class Trigger(Protocol):
    """Something that declares OOM, or comes to the same."""

    def pull(self, number: int, note: Note) -> int:
        """Do it, in the process of the caller of that number; return its exit status."""

    def answer(self, ended: Ended, note: Note) -> Answer:
        """Tell, back in the parent, what came of it; raises what kept it from being done."""


def call_together(
    trigger: Trigger,
    callers: int,
    watch: DeathWatch,
    timeout: float,
    tick: Callable[[], None] | None = None,
    prepare: Callable[[], object] = int,
) -> list[Answer]:
    """Let so many callers pull the trigger at the same moment and wait for their answers.

    Deaths of watched processes are noted meanwhile. After `timeout` seconds the callers are killed,
    which ends their wait for oom_lock. `tick` is called every few milliseconds, `prepare` in
    each caller before it is ready.
    """
    notes = _shared(callers)
    pids = _start(trigger, notes, watch, prepare)
    returned = watch.wait(lambda: watch.deaths.keys() >= set(pids), timeout, tick)
    late = set(pids) - watch.deaths.keys()
    if not returned:
        watch.kill(late)
        if not watch.wait(lambda: watch.deaths.keys() >= set(pids), 5):
            stuck = min(set(pids) - watch.deaths.keys())
            raise OomctlError(
                f"the caller (pid {stuck}) is stuck in the kernel and cannot be killed",
                f"see `cat /proc/{stuck}/stack` and dmesg",
            )
    deaths = [watch.deaths.pop(pid) for pid in pids]
    return [
        trigger.answer(Ended(number, death.pid, death.status, death.pid in late), note)
        for number, (death, note) in enumerate(zip(deaths, notes, strict=True))
    ]


def _shared(count: int) -> list[Note]:
    """Return a note for each in memory that parent and callers share; it goes with the last."""
    size = ctypes.sizeof(Note)
    memory = mmap.mmap(-1, size * count)
    return [Note.from_buffer(memory, size * number) for number in range(count)]


def _start(
    trigger: Trigger, notes: Sequence[Note], watch: DeathWatch, prepare: Callable[[], object]
) -> list[int]:
    """Fork the callers, and let them go once each of them stands at the line.

    Whoever gets no byte there does nothing: so if this fails halfway, nothing is declared.
    """
    ready, set_ = os.pipe2(os.O_CLOEXEC)
    line = go = -1
    pids: list[int] = []

    def wait_and_pull(number: int, note: Note) -> int:
        os.close(go)
        prepare()
        os.write(set_, b"r")
        return trigger.pull(number, note) if os.read(line, 1) else 0

    try:
        line, go = os.pipe2(os.O_CLOEXEC)
        for number, note in enumerate(notes):
            pid = child.forked(partial(wait_and_pull, number, note), COMM)
            watch.add(pid, reap=True)
            pids.append(pid)
        os.close(set_)
        set_ = -1
        _await_all(ready, len(notes))
        os.write(go, b"g" * len(notes))
    except BaseException:
        watch.kill(pids)
        watch.wait(lambda: watch.deaths.keys() >= set(pids), 5)
        raise
    finally:
        for fd in (ready, set_, line, go):
            if fd >= 0:
                os.close(fd)
    return pids


def _await_all(ready: int, count: int) -> None:
    """Read a byte of each caller; the end of the pipe says that the others are dead."""
    while count:
        with let_through():
            said = os.read(ready, count)
        if not said:
            return
        count -= len(said)
