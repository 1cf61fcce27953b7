"""Callers: child processes that make their calls at the same moment and can be killed at any time.

The BPF program runs in the task that calls bpf(2). What a caller leaves in shared memory and in the
program's map outlives it.
"""

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from ctypes import Structure, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import psutil

from oomctl.errors import OomctlError
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.plan import CALLER
from oomctl.proc import fork
from oomctl.proc.fork import Child
from oomctl.proc.pidfd import PidfdWatch

COMM = CALLER.encode()

_DYING = 5.0  # seconds that a caller may take to end after SIGKILL


class SharedResult(Structure):
    """What a caller leaves for its parent in shared memory; times are CLOCK_MONOTONIC in ns."""

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("reclaimed", c_int64),
        ("ret", c_int32),
        ("attempts", c_uint32),
        ("spared", c_uint32),
        ("wrote_reclaim", c_uint32),
    ]


@dataclass(frozen=True)
class CallerEnd:
    """How a caller ended: its exit status, whether the timeout killed it, the exception in it.

    `name` and `how` make a sentence: "the caller (pid 7)" "was killed by SIGTERM".
    """

    number: int
    pid: int
    status: int | None
    timed_out: bool
    name: str = "the caller"
    how: str = "ended"
    error: OomctlError | None = None

    @property
    def cut_off(self) -> bool:
        """Whether an exception or a signal ended it early."""
        return self.error is not None or self.status is None

    def failure(self, when: str) -> OomctlError:
        """Return the error of a caller without a result; `when` says how far it had come."""
        if self.error:
            why = f"{self.name} failed {when}: {self.error.why}"
            return type(self.error)(why, self.error.hint)
        hint = "if the OOM killer took it, dmesg names it; run it again"
        if self.timed_out:
            hint = "give more time with --timeout"
        return OomctlError(f"{self.name} {self.how} {when}", hint)


class Trigger(Protocol):
    """Something that makes the OOM killer run, or kills instead of it."""

    def pull(self, number: int, shared: SharedResult) -> int:
        """Run in the caller with that number; return its exit status."""

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return, in the parent, the result of that call; raise the error that prevented it."""


def call_together(
    trigger: Trigger,
    callers: int,
    watch: PidfdWatch,
    timeout: float,
    tick: Callable[[], None] | None = None,
    prepare: Callable[[], None] | None = None,
) -> list[CallResult]:
    """Start callers that pull the trigger at the same moment, and return their results.

    Each caller runs `prepare` before it is ready; for that they have `timeout` seconds, and as many
    again for the call. Then they are killed, which ends their wait for oom_lock. `tick` is called
    every few milliseconds, and deaths of watched processes are noted. Raises OomctlError if a
    caller is not ready in time or if no caller has a result; if only some have none, their results
    say why.
    """
    shared = _shared(callers)
    children = _start(trigger, shared, watch, timeout, prepare)
    pids = {each.pid for each in children}
    watch.wait(lambda: pids <= watch.deaths.keys(), timeout, tick)
    late = {pid: _state(pid) for pid in pids - watch.deaths.keys()}
    if late:
        _kill(late, watch)
    ends = []
    for number, child in enumerate(children):
        state = late.get(child.pid)
        how = f"was killed at the timeout of {timeout:g} s (state: {state})" if state else ""
        ends.append(_end(children, number, watch, how))
        del watch.deaths[child.pid]
    return _results(trigger, ends, shared)


def _results(
    trigger: Trigger, ends: Sequence[CallerEnd], shared: Sequence[SharedResult]
) -> list[CallResult]:
    results = []
    errors: list[OomctlError] = []
    for end, left in zip(ends, shared, strict=True):
        try:
            results.append(trigger.result(end, left))
        except OomctlError as error:
            errors.append(error)
            results.append(
                CallResult(
                    Stage.NOT_RUN,
                    time.monotonic_ns(),
                    0,
                    None,
                    end.timed_out,
                    end.pid,
                    attempts=left.attempts,
                    failed=error.why,
                )
            )
    if len(errors) == len(ends):
        raise errors[0]
    return results


def _shared(count: int) -> list[SharedResult]:
    """Return one for each caller, in memory that parent and callers share."""
    size = ctypes.sizeof(SharedResult)
    memory = mmap.mmap(-1, size * count)
    return [SharedResult.from_buffer(memory, size * number) for number in range(count)]


def _start(
    trigger: Trigger,
    shared: Sequence[SharedResult],
    watch: PidfdWatch,
    timeout: float,
    prepare: Callable[[], None] | None,
) -> list[Child]:
    """Fork the callers, and let them go once all of them are ready.

    A caller that reads no byte from `start` does nothing, so if this fails, no call is made.
    """
    # The callers hold both ends of both pipes, so a pipe never reports that one of them is dead.
    ready, report_ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    start = go = -1
    children: list[Child] = []

    def wait_and_pull(number: int, left: SharedResult) -> int:
        os.close(go)
        if prepare:
            prepare()
        os.write(report_ready, bytes([number]))
        return trigger.pull(number, left) if os.read(start, 1) else 0

    try:
        start, go = os.pipe2(os.O_CLOEXEC)
        for number, left in enumerate(shared):
            child = fork.forked(partial(wait_and_pull, number, left), COMM)
            watch.add(child.pid, reap=True)
            children.append(child)
        _await_ready(ready, children, watch, timeout)
        os.write(go, b"g" * len(shared))
    except BaseException:
        pids = {each.pid for each in children}
        watch.kill(pids)
        watch.wait(lambda: watch.deaths.keys() >= pids, _DYING)
        for pid in pids:
            watch.deaths.pop(pid, None)
        raise
    finally:
        for fd in (ready, report_ready, start, go):
            if fd >= 0:
                os.close(fd)
    return children


def _await_ready(ready: int, children: Sequence[Child], watch: PidfdWatch, timeout: float) -> None:
    """Wait for the byte of each caller; OomctlError if one dies or `timeout` seconds pass."""
    missing = set(range(len(children)))

    def over() -> bool:
        with suppress(BlockingIOError):
            missing.difference_update(os.read(ready, len(children)))
        return not missing or any(each.pid in watch.deaths for each in children)

    in_time = watch.wait(over, timeout, wake=ready)
    watch.poll()
    for number, child in enumerate(children):
        if child.pid in watch.deaths:
            raise _end(children, number, watch).failure("before it was ready to call")
        if not in_time and number in missing:
            raise OomctlError(
                f"{_name(children, number)} was not ready to call after {timeout:g} s: "
                f"it is {_state(child.pid)}",
                "give more time with --timeout",
            )


def _kill(pids: Collection[int], watch: PidfdWatch) -> None:
    watch.kill(pids)
    if not watch.wait(lambda: watch.deaths.keys() >= set(pids), _DYING):
        stuck = min(set(pids) - watch.deaths.keys())
        raise OomctlError(
            f"the caller (pid {stuck}) is stuck in the kernel and cannot be killed",
            f"see `cat /proc/{stuck}/stack` and dmesg",
        )


def _end(
    children: Sequence[Child], number: int, watch: PidfdWatch, at_timeout: str = ""
) -> CallerEnd:
    child = children[number]
    death = watch.deaths[child.pid]
    return CallerEnd(
        number,
        child.pid,
        death.status,
        timed_out=bool(at_timeout),
        name=_name(children, number),
        how=at_timeout if at_timeout and not child.error else child.end(death),
        error=child.error,
    )


def _name(children: Sequence[Child], number: int) -> str:
    pid = f"(pid {children[number].pid})"
    return (
        f"caller {number + 1} of {len(children)} {pid}"
        if len(children) > 1
        else f"the caller {pid}"
    )


def _state(pid: int) -> str:
    """Return the state of a process in a word, such as "stopped" or "disk-sleep"."""
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return "gone"
