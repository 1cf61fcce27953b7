"""A gate at the entry of out_of_memory(): records its arguments, and keeps oom_lock held.

For contention on oom_lock a holder process declares OOM and is stopped in the gate, after it has
taken oom_lock. There is no race: the lock is known to be held before the callers start, and the
gate records until when it was.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import Structure, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from typing import Self

from oomctl import resources
from oomctl.bpf import probes
from oomctl.bpf.bpfobject import BpfObject
from oomctl.errors import OomctlError
from oomctl.proc import fork, procfs
from oomctl.proc.pidfd import PidfdWatch, look_again

COMM = b"oomctl-gate"

_PROGRAMS = ("enter", "leave")
_PASSAGES = 64
_TICK = 0.002
_PATIENCE = 10.0  # seconds that a process may take to enter the gate, or to leave it


class Passage(Structure):
    """One run through out_of_memory(): `struct oomctl_passage` of bpf/smoke/gate.h.

    `memcg_id` is 0 for the whole system; `zonelist`, `nodemask` and `totalpages_before` are 0 if
    they were not given. `totalpages` and `points` (of the chosen task) are in pages.
    """

    _fields_ = [
        ("memcg_id", c_uint64),
        ("zonelist", c_uint64),
        ("nodemask", c_uint64),
        ("totalpages_before", c_uint64),
        ("totalpages", c_uint64),
        ("gfp_mask", c_uint64),
        ("points", c_int64),
        ("order", c_int32),
        ("tid", c_int32),
    ]


class GateStruct(Structure):
    """`struct oomctl_gate` of bpf/smoke/gate.h."""

    _fields_ = [
        ("most_ns", c_uint64),
        ("shut_for", c_uint32),
        ("opened", c_uint32),
    ]


class GateLogStruct(Structure):
    """`struct oomctl_gate_log` of bpf/smoke/gate.h."""

    _fields_ = [
        ("passages", c_uint64),
        ("entered_ns", c_uint64),
        ("left_ns", c_uint64),
    ]


@dataclass(frozen=True)
class LockHold:
    """The time in which oom_lock was held, in ns of CLOCK_MONOTONIC."""

    from_ns: int
    until_ns: int


class Gate(BpfObject):
    """The attached gate, open unless `shut()`."""

    def __init__(self) -> None:
        super().__init__(resources.built("gate.bpf.o"))

    def __enter__(self) -> Self:
        """Load and attach it; UnsupportedError if the kernel does not allow tracing."""
        super().__enter__()
        try:
            self._gates = self.array("gates", GateStruct)
            self._passages = self.array("passages", Passage)
            self._logs = self.array("logs", GateLogStruct)
            for program in _PROGRAMS:
                self.attach(program)
            if procfs.sysctl(probes.FTRACE_ENABLED) == 0:
                raise probes.ftrace_off(_PROGRAMS)
        except BaseException:
            self.close()
            raise
        return self

    def passed(self) -> int:
        """Return the number of runs through out_of_memory() so far."""
        return int(self._log().passages)

    def passages(self, since: int) -> tuple[Passage, ...]:
        """Return the runs after the first `since`; of more than 64 the last ones."""
        now = self.passed()
        numbers = range(max(since, now - _PASSAGES), now)
        return tuple(self._passages[number % _PASSAGES] for number in numbers)

    @contextmanager
    def shut(
        self, enter: Callable[[], int], opens: Callable[[], bool], most: float
    ) -> Iterator[None]:
        """Hold oom_lock in the block: a holder process calls `enter` and is stopped in the gate.

        `enter` returns 0 or the positive errno of bpf(2). Another process opens the gate once
        `opens()` is true, at the latest after `most` seconds or at the end of the block; then
        `held()` returns when it was held. Raises OomctlError if the holder does not get there.
        """
        before = self._log().entered_ns
        with PidfdWatch() as watch:
            try:
                holder = fork.forked(lambda: self._hold(enter, most), COMM)
                watch.add(holder.pid, reap=True)
                entered = watch.wait(
                    lambda: self._log().entered_ns > before or holder.pid in watch.deaths,
                    _PATIENCE,
                    look_again,
                )
                if not entered or holder.pid in watch.deaths:
                    error = _not_held(holder, watch)
                    watch.kill({holder.pid})
                    raise error
                opener = fork.forked(lambda: self._open_when(opens, most), COMM)
                watch.add(opener.pid, reap=True)
                yield
            finally:
                # repeatedly: after an early signal the holder may shut it after the first time
                self._open()
                pids = watch.watched()
                if not watch.wait(lambda: pids <= watch.deaths.keys(), _PATIENCE, self._open):
                    watch.kill(pids)
                    watch.wait(lambda: pids <= watch.deaths.keys(), _PATIENCE, self._open)
                    raise OomctlError("the holder of oom_lock does not end", "see dmesg")

    def held(self) -> LockHold:
        """Return when the lock was held the last time."""
        log = self._log()
        return LockHold(log.entered_ns, log.left_ns)

    def _hold(self, enter: Callable[[], int], most: float) -> int:
        self._set(GateStruct(most_ns=round(most * 1e9), shut_for=os.getpid()))
        return enter()

    def _open_when(self, opens: Callable[[], bool], most: float) -> int:
        deadline = time.monotonic() + most
        while not opens() and not self._log().left_ns and time.monotonic() < deadline:
            time.sleep(_TICK)
        self._open()
        return 0

    def _open(self) -> None:
        self._set(GateStruct(opened=1))

    def _set(self, gate: GateStruct) -> None:
        self._gates[0] = gate

    def _log(self) -> GateLogStruct:
        return self._logs[0]


def _not_held(holder: fork.Child, watch: PidfdWatch) -> OomctlError:
    """Return why oom_lock is not held, by the end of the process that should hold it."""
    death = watch.deaths.get(holder.pid)
    how = holder.end(death)
    if death is None:
        how = f"has not called out_of_memory() after {_PATIENCE:g} s"
    elif death.status and not holder.error:
        how = f"could not run the BPF program: {os.strerror(death.status)}"
    elif death.status == 0:
        how = "returned from the call without passing the gate"
    return OomctlError(f"oom_lock is not held: its holder (pid {holder.pid}) {how}")
