"""A gate at the entry of out_of_memory(): what it was given, and oom_lock held on purpose.

How contention is made: a process of its own declares OOM and is kept in the gate, which stands
behind the taking of oom_lock. Nothing is raced for: the lock is known to be held before anybody
else calls, and the gate's own clock says until when it was.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import Structure, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from typing import Self

from oomctl import resources
from oomctl.bpf import libbpf, probes
from oomctl.errors import OomctlError
from oomctl.proc import fork, procfs
from oomctl.proc.pidfd import PidfdWatch

COMM = b"oomctl-gate"

_PROGRAMS = ("enter", "leave")
_PASSAGES = 64
_TICK = 0.002
_PATIENCE = 10.0  # seconds that anybody may take to get into the gate, or to leave it


class PassageStruct(Structure):
    """`struct oomctl_passage` of bpf/smoke/gate.h."""

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
class Passage:
    """One run through out_of_memory(): what it was given, and what it had worked out at its end.

    `memcg_id` is None for the whole system. `zonelist`, `nodemask` and `totalpages_before` are 0
    where nothing was given. `totalpages` and `points` (of the chosen task) are in pages.
    """

    tid: int
    memcg_id: int | None
    order: int
    gfp_mask: int
    zonelist: int
    nodemask: int
    totalpages_before: int
    totalpages: int
    points: int


@dataclass(frozen=True)
class LockHold:
    """When oom_lock was held, in ns of CLOCK_MONOTONIC."""

    from_ns: int
    until_ns: int


class Gate:
    """The gate, open unless `shut()`."""

    def __init__(self) -> None:
        self._object = libbpf.BpfObject(resources.built("gate.bpf.o"))

    def __enter__(self) -> Self:
        """Put it up; UnsupportedError where the kernel lets nobody trace."""
        self._object.__enter__()
        try:
            self._gates = self._object.map_fd("gates")
            self._passages = self._object.map_fd("passages")
            self._logs = self._object.map_fd("logs")
            for program in _PROGRAMS:
                self._object.attach(program)
            if procfs.sysctl(probes.FTRACE_ENABLED) == 0:
                raise probes.ftrace_off(_PROGRAMS)
        except BaseException:
            self._object.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take it away."""
        self._object.close()

    def passed(self) -> int:
        """Return how many runs there were through out_of_memory() so far."""
        return int(self._log().passages)

    def passages(self, since: int) -> tuple[Passage, ...]:
        """Return those runs but the first so many; of more than 64 the last."""
        now = self.passed()
        return tuple(map(self._passage, range(max(since, now - _PASSAGES), now)))

    @contextmanager
    def shut(
        self, enter: Callable[[], int], opens: Callable[[], bool], most: float
    ) -> Iterator[None]:
        """Hold oom_lock in the block: a process of its own calls `enter` and gets no further.

        `enter` returns 0 or the positive errno of bpf(2).
        Another one opens the gate once `opens` says so, at the latest after `most` seconds or at
        the end of the block; `held()` tells then how long it was. OomctlError where nobody came.
        """
        before = self._log().entered_ns
        with PidfdWatch() as watch:
            try:
                holder = fork.forked(lambda: self._stand(enter, most), COMM)
                watch.add(holder.pid, reap=True)
                came = watch.wait(
                    lambda: self._log().entered_ns > before or holder.pid in watch.deaths,
                    _PATIENCE,
                    _nothing,
                )
                if not came or holder.pid in watch.deaths:
                    error = _not_held(holder, watch)
                    watch.kill({holder.pid})
                    raise error
                opener = fork.forked(lambda: self._open_when(opens, most), COMM)
                watch.add(opener.pid, reap=True)
                yield
            finally:
                # Again and again: where a signal came early, the holder may shut it after us.
                self._open()
                pids = watch.watched()
                if not watch.wait(lambda: pids <= watch.deaths.keys(), _PATIENCE, self._open):
                    watch.kill(pids)
                    watch.wait(lambda: pids <= watch.deaths.keys(), _PATIENCE, self._open)
                    raise OomctlError("who held oom_lock does not come back", "see dmesg")

    def held(self) -> LockHold:
        """Return when the lock was held the last time."""
        log = self._log()
        return LockHold(log.entered_ns, log.left_ns)

    def _stand(self, enter: Callable[[], int], most: float) -> int:
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
        libbpf.write_map(self._gates, 0, gate)

    def _log(self) -> GateLogStruct:
        log = GateLogStruct()
        libbpf.read_map(self._logs, 0, log)
        return log

    def _passage(self, number: int) -> Passage:
        raw = PassageStruct()
        libbpf.read_map(self._passages, number % _PASSAGES, raw)
        return Passage(
            tid=raw.tid,
            memcg_id=raw.memcg_id or None,
            order=raw.order,
            gfp_mask=raw.gfp_mask,
            zonelist=raw.zonelist,
            nodemask=raw.nodemask,
            totalpages_before=raw.totalpages_before,
            totalpages=raw.totalpages,
            points=raw.points,
        )


def _not_held(holder: fork.Child, watch: PidfdWatch) -> OomctlError:
    """Say why oom_lock is not held: by what became of the process that was to hold it."""
    death = watch.deaths.get(holder.pid)
    how = holder.end(death)
    if death is None:
        how = f"has not called out_of_memory() after {_PATIENCE:g} s"
    elif death.status and not holder.error:
        how = f"could not run the BPF program: {os.strerror(death.status)}"
    elif death.status == 0:
        how = "came back from the call without passing the gate"
    return OomctlError(f"oom_lock is not held: the process (pid {holder.pid}) for it {how}")


def _nothing() -> None:
    """Wake up every few milliseconds to look again."""
