"""Callers: processes of their own that pull a trigger together, and can be ended while they wait.

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
    """How one caller ended: its number, PID and exit status, and whether it had to be killed.

    `who` names it in a sentence, and `how` is the end of that sentence: "was killed by SIGTERM".
    """

    number: int
    pid: int
    status: int | None
    timed_out: bool
    who: str = "the caller"
    how: str = "ended"
    error: OomctlError | None = None
    """The exception that ended it."""

    @property
    def cut_off(self) -> bool:
        """Whether an exception or a signal ended it, so that it did not come to its end."""
        return self.error is not None or self.status is None

    def because(self, when: str) -> OomctlError:
        """Return the error of a caller that left no answer; `when` says how far it had come."""
        if self.error:
            why = f"{self.who} failed {when}: {self.error.why}"
            return type(self.error)(why, self.error.hint)
        hint = "if the OOM killer took it, dmesg names it; run it again"
        if self.timed_out:
            hint = "give more time with --timeout"
        return OomctlError(f"{self.who} {self.how} {when}", hint)


class Trigger(Protocol):
    """Something that declares OOM, or comes to the same."""

    def pull(self, number: int, shared: SharedResult) -> int:
        """Do it, in the process of the caller of that number; return its exit status."""

    def answer(self, ended: Ended, shared: SharedResult) -> CallResult:
        """Tell, back in the parent, what came of it; raises what kept it from being done."""


def call_together(
    trigger: Trigger,
    callers: int,
    watch: PidfdWatch,
    timeout: float,
    tick: Callable[[], None] | None = None,
    prepare: Callable[[], object] = int,
) -> list[CallResult]:
    """Let so many callers pull the trigger at the same moment and wait for their answers.

    Deaths of watched processes are noted meanwhile. After `timeout` seconds the callers are killed,
    which ends their wait for oom_lock. `tick` is called every few milliseconds, `prepare` in
    each caller before it is ready, for which they have `timeout` seconds as well. Raises
    OomctlError if a caller is not ready in time, or if none of them came as far as to an answer;
    one of several that did not has the reason in its answer.
    """
    notes = _shared(callers)
    children = _start(trigger, notes, watch, timeout, prepare)
    pids = [each.pid for each in children]
    returned = watch.wait(lambda: watch.deaths.keys() >= set(pids), timeout, tick)
    late = {pid: _state(pid) for pid in set(pids) - watch.deaths.keys()}
    if not returned:
        _kill(late, watch)
    ended = []
    for number, one in enumerate(children):
        death = watch.deaths.pop(one.pid)
        how = one.end(death)
        if one.pid in late and not one.error:
            how = f"was killed at the timeout of {timeout:g} s (state: {late[one.pid]})"
        ended.append(
            Ended(
                number,
                one.pid,
                death.status,
                one.pid in late,
                _name(number, one.pid, callers),
                how,
                one.error,
            )
        )
    return _answers(trigger, ended, notes)


def _answers(
    trigger: Trigger, ended: Sequence[Ended], notes: Sequence[SharedResult]
) -> list[CallResult]:
    """Return an answer for each caller; raises the first error if there is nothing else."""
    answers = []
    errors: list[OomctlError] = []
    for one, shared in zip(ended, notes, strict=True):
        try:
            answers.append(trigger.answer(one, shared))
        except OomctlError as error:
            errors.append(error)
            answers.append(
                CallResult(
                    Stage.NOT_RUN,
                    time.monotonic_ns(),
                    0,
                    None,
                    one.timed_out,
                    one.pid,
                    attempts=shared.attempts,
                    failed=error.why,
                )
            )
    if len(errors) == len(ended):
        raise errors[0]
    return answers


def _shared(count: int) -> list[SharedResult]:
    """Return a note for each in memory that parent and callers share; it goes with the last."""
    size = ctypes.sizeof(SharedResult)
    memory = mmap.mmap(-1, size * count)
    return [SharedResult.from_buffer(memory, size * number) for number in range(count)]


def _start(
    trigger: Trigger,
    notes: Sequence[SharedResult],
    watch: PidfdWatch,
    timeout: float,
    prepare: Callable[[], object],
) -> list[Child]:
    """Fork the callers, and let them go once each of them stands at the line.

    Whoever gets no byte there does nothing: so if this fails halfway, nothing is declared.
    """
    # Callers hold all ends of both pipes, so no end of a file says that one of them is dead.
    ready, set_ = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    line = go = -1
    children: list[Child] = []

    def wait_and_pull(number: int, shared: SharedResult) -> int:
        os.close(go)
        prepare()
        os.write(set_, bytes([number]))
        return trigger.pull(number, shared) if os.read(line, 1) else 0

    try:
        line, go = os.pipe2(os.O_CLOEXEC)
        for number, shared in enumerate(notes):
            one = fork.forked(partial(wait_and_pull, number, shared), COMM)
            watch.add(one.pid, reap=True)
            children.append(one)
        _await_ready(ready, children, watch, timeout)
        os.write(go, b"g" * len(notes))
    except BaseException:
        pids = {each.pid for each in children}
        watch.kill(pids)
        watch.wait(lambda: watch.deaths.keys() >= pids, _DYING)
        for pid in pids:
            watch.deaths.pop(pid, None)
        raise
    finally:
        for fd in (ready, set_, line, go):
            if fd >= 0:
                os.close(fd)
    return children


def _await_ready(ready: int, children: Sequence[Child], watch: PidfdWatch, timeout: float) -> None:
    """Wait for the byte of each caller; OomctlError if one dies or `timeout` seconds are over."""
    missing = set(range(len(children)))

    def over() -> bool:
        with suppress(BlockingIOError):
            missing.difference_update(os.read(ready, len(children)))
        return not missing or any(each.pid in watch.deaths for each in children)

    in_time = watch.wait(over, timeout, wake=ready)
    watch.poll()
    for number, one in enumerate(children):
        who = _name(number, one.pid, len(children))
        if death := watch.deaths.get(one.pid):
            raise Ended(
                number, one.pid, death.status, False, who, one.end(death), one.error
            ).because("before it was ready to call")
        if not in_time and number in missing:
            raise OomctlError(
                f"{who} was not ready to call after {timeout:g} s: it is {_state(one.pid)}",
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


def _name(number: int, pid: int, of: int) -> str:
    return f"the caller (pid {pid})" if of == 1 else f"caller {number + 1} of {of} (pid {pid})"


def _state(pid: int) -> str:
    """Return the state of a process in a word, such as "stopped" or "disk-sleep"."""
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return "gone"
