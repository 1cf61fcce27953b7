"""Callers: processes that make their calls at the same moment and can be killed at any time."""

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from oomctl.errors import OomctlError
from oomctl.experiment import caller
from oomctl.experiment.caller import CallerEnd, SharedResults, Trigger, Words
from oomctl.hog.spawn import give_page
from oomctl.oom.call import CallResult, Stage
from oomctl.proc.pidfd import PidfdWatch

_DYING = 5.0  # seconds that a caller may take to end after SIGKILL


@dataclass(frozen=True)
class _Callers:
    """Callers: the PIDs of those that were started, what they are asked, and what they leave."""

    pids: list[int]
    words: Words
    shared: SharedResults

    def name(self, number: int) -> str:
        pid, count = f"(pid {self.pids[number]})", self.shared.count
        return f"caller {number + 1} of {count} {pid}" if count > 1 else f"the caller {pid}"

    def end(self, number: int, watch: PidfdWatch, at_timeout: str = "") -> CallerEnd:
        """Return how a caller has ended; `at_timeout` says so if it was killed for that."""
        pid = self.pids[number]
        death = watch.deaths[pid]
        error = caller.error_of(self.shared[number], self.words)
        how = f"failed: {error}" if error else at_timeout or death.how
        timed_out = bool(at_timeout)
        return CallerEnd(number, pid, death.status, timed_out, self.name(number), how, error)


def call_together(
    trigger: Trigger,
    callers: int,
    watch: PidfdWatch,
    timeout: float,
    tick: Callable[[], None] | None = None,
    place: Words | None = None,
) -> list[CallResult]:
    """Start callers that pull the trigger at the same moment, and return their results.

    `place` says where each of them is to be before it is ready, for which they have `timeout`
    seconds, and as many again for the call. Then they are killed, which ends their wait for
    oom_lock. `tick` is called every few milliseconds, and deaths of watched processes are noted.
    Raises OomctlError if a caller is not ready in time or if no caller has a result; if only some
    have none, their results say why.
    """
    # memory_max_write() (mm/memcontrol.c) of a caller loops until it gets a signal if the limit is
    # restored beside it: mem_cgroup_out_of_memory() finds a margin, and nothing to do. So callers
    # must have ended when trigger() restores it.
    with SharedResults(callers) as shared, watch.all_end(_DYING) as begun:
        words = {**trigger.words, **(place or {}), "shared": shared.fd, "parent": os.getpid()}
        started = _Callers(begun, words, shared)
        _start(started, watch, timeout)
        pids = {*started.pids}
        watch.wait(lambda: pids <= watch.deaths.keys(), timeout, tick)
        late = {pid: _state(pid) for pid in pids - watch.deaths.keys()}
        if late:
            _kill(late, watch)
        ends = []
        for number, pid in enumerate(started.pids):
            state = late.get(pid)
            how = f"was killed at the timeout of {timeout:g} s (state: {state})" if state else ""
            ends.append(started.end(number, watch, how))
        return _results(trigger, ends, shared)


def _results(
    trigger: Trigger, ends: Sequence[CallerEnd], shared: SharedResults
) -> list[CallResult]:
    results = []
    errors: list[OomctlError] = []
    for end in ends:
        left = shared[end.number]
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


def _start(callers: _Callers, watch: PidfdWatch, timeout: float) -> None:
    """Start the callers, and let them go once all of them are ready.

    A caller that reads no byte from `start` does nothing, so if this fails, no call is made.
    """
    ready, report_ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    wait, go = -1, -1
    count = callers.shared.count
    try:
        give_page(ready, report_ready)
        wait, go = os.pipe2(os.O_CLOEXEC)
        for number in range(count):
            own = {"at": number, "ready": report_ready, "start": wait}
            pid = caller.start({**callers.words, **own})
            watch.add(pid, reap=True)
            callers.pids.append(pid)
        _await_ready(ready, callers, watch, timeout)
        os.write(go, b"g" * count)
    finally:
        for fd in (ready, report_ready, wait, go):
            if fd >= 0:
                os.close(fd)


def _await_ready(ready: int, started: _Callers, watch: PidfdWatch, timeout: float) -> None:
    """Wait for the byte of each caller; OomctlError if one dies or `timeout` seconds pass."""
    missing = set(range(len(started.pids)))

    def over() -> bool:
        with suppress(BlockingIOError):
            missing.difference_update(os.read(ready, len(started.pids)))
        return not missing or any(pid in watch.deaths for pid in started.pids)

    in_time = watch.wait(over, timeout, wake=ready)
    watch.poll()
    for number, pid in enumerate(started.pids):
        if pid in watch.deaths:
            raise started.end(number, watch).failure("before it was ready to call")
        if not in_time and number in missing:
            raise OomctlError(
                f"{started.name(number)} was not ready to call after {timeout:g} s: "
                f"it is {_state(pid)}",
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


def _state(pid: int) -> str:
    """Return the state of a process in a word, such as "stopped" or "disk-sleep"."""
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return "gone"
