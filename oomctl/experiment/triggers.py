"""Triggers: the kfunc, a limit, memory.reclaim or a stall and the kfunc, sysrq, cgroup.kill.

`trigger()` sets one up for a target and restores what it changed.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oomctl import console
from oomctl.bpf import libbpf
from oomctl.bpf.declare import CallResultStruct, DeclareProgram
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import UnsupportedError
from oomctl.experiment.caller import CallerEnd, SharedResult, Trigger, Words
from oomctl.experiment.setting import temporarily
from oomctl.files.kernelfile import explain
from oomctl.journal.file import Journal
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.enums import Via
from oomctl.oom.plan import PSI_WINDOW, Call, Recheck, Step
from oomctl.proc.procfs import PAGE_SIZE
from oomctl.units import format_size

_SYSRQ = Path("/proc/sysrq-trigger")
_LEAST, _CACHED_PER_CPU = 1 << 20, 512 << 10


class Declaration:
    """bpf_out_of_memory() through the loaded program."""

    def __init__(self, program: DeclareProgram, call: Call, cgroup_id: int | None) -> None:
        self._program = program
        self.words: Words = program.words(call, cgroup_id)

    def read(self, number: int) -> CallResultStruct:
        """Return what the program left for a caller."""
        return self._program.read(number)

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Read the result from the map: the caller may be dead."""
        if end.status and not end.error:
            raise UnsupportedError(
                f"the kernel did not run oomctl's BPF program: {os.strerror(end.status)}",
                "`-v` shows libbpf's log",
                detail=libbpf.log(),
            )
        raw = self.read(end.number)
        match Stage(raw.stage):
            case Stage.NO_CGROUP | Stage.NO_MEMCG:
                raise UnsupportedError(
                    "the kernel finds no memory controller for the target",
                    "it was removed, or its parent's cgroup.subtree_control lacks 'memory'",
                )
            case Stage.ROOT:
                raise UnsupportedError("the target is the root cgroup", "name a cgroup below it")
            case Stage.NOT_SCHEDULED:
                raise UnsupportedError(
                    f"the kernel did not schedule the call in task work: {os.strerror(-raw.ret)}"
                )
            case Stage.NOT_RUN:
                raise end.failure("before it called the kfunc")
        ret = raw.ret if raw.ended_ns else None
        when = "after the call" if raw.ended_ns else "during the call"
        if ret == -errno.EINTR:
            when = "while it waited for oom_lock"
        # a caller that rechecks has waited since its first try
        began_ns = shared.began_ns or raw.began_ns or time.monotonic_ns()
        return _result(end, shared, ret, when, began_ns, raw.ended_ns)


class Rechecked:
    """The kfunc without waiting; before each try it checks whether it is still needed."""

    def __init__(self, kfunc: Declaration, target: UnifiedNode, recheck: Recheck) -> None:
        self._kfunc = kfunc
        every = round(recheck.every * 1e9)
        more: Words = {"usage": _usage(target), "above": recheck.above, "every": every}
        self.words: Words = {**kfunc.words, **more}

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return the result of the last try; no return value if the caller gave up."""
        if shared.spared:
            return _result(end, shared, None, "after it gave up")
        last = self._kfunc.read(end.number)
        # the caller clears the slot before each try
        cleared = shared.attempts > 1 and last.stage == Stage.NOT_RUN
        busy = last.ret == -errno.EBUSY and not end.timed_out
        if end.cut_off and (cleared or busy):
            raise end.failure("between two tries")
        return self._kfunc.result(end, shared)


class Write:
    """One write to a kernel file that takes effect before write(2) returns (except sysrq's)."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.words: Words = {"write": str(path), "text": text}

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return 0 or the negative errno."""
        if not shared.began_ns:
            raise end.failure(f"before it wrote {self.path}")
        if not shared.ended_ns:
            return _result(end, shared, None, f"while it wrote {self.path}")
        return _result(end, shared, shared.ret, f"after it wrote {self.path}")


class Limit(Write):
    """A limit below the target's usage; the kernel kills until the usage is below it.

    The caller itself restores the former limit `was` at once: else the kernel would kill again for
    each further charge in the target.
    """

    def __init__(self, target: UnifiedNode, limit: int, was: str) -> None:
        super().__init__(target.directory / "memory.max", str(limit))
        self.limit = limit
        self.words = {**self.words, "was": was}


class Reclaim:
    """memory.reclaim first, and the kfunc only if that does not free enough."""

    def __init__(self, target: UnifiedNode, amount: int, kfunc: Declaration) -> None:
        self._file = target.directory / "memory.reclaim"
        self._kfunc = kfunc
        more = {"usage": _usage(target), "write": str(self._file), "text": str(amount)}
        self.words: Words = {**kfunc.words, **more}

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return the kfunc's result if it was called, else one without a return value."""
        if shared.attempts:
            return self._kfunc.result(end, shared)
        if not shared.began_ns:
            raise end.failure(f"before it wrote {self._file}")
        if not shared.ended_ns:
            raise end.failure(f"while it wrote {self._file}")
        if shared.ret:
            raise end.failure("after memory.reclaim, before it called the kfunc")
        return _result(end, shared, None, "after memory.reclaim")


class Stall:
    """The kfunc, once all tasks of the target have stalled on memory for a while.

    Each caller has a trigger of its own (Documentation/accounting/psi.rst).
    """

    def __init__(self, target: UnifiedNode, stall: float, kfunc: Declaration) -> None:
        self._file = target.directory / "memory.pressure"
        self._text = f"full {round(stall * 1e6)} {round(PSI_WINDOW * 1e6)}"
        self._kfunc = kfunc
        self.words: Words = {**kfunc.words, "stall": str(self._file), "text": self._text}

    def result(self, end: CallerEnd, shared: SharedResult) -> CallResult:
        """Return the kfunc's result."""
        if not shared.attempts:
            raise end.failure(f"while it waited for '{self._text}' in {self._file}")
        return self._kfunc.result(end, shared)


@contextmanager
def trigger(
    step: Step, target: UnifiedNode | None, program: DeclareProgram, journal: Journal
) -> Iterator[Trigger]:
    """Set up the trigger of a step; `target` is None for the whole system.

    At the end memory.max, which `limit` lowers, is restored.
    """
    call = step.call
    program.clear(step.callers)
    kfunc = Declaration(program, call, None if target is None else target_id(target))
    if call.via == Via.SYSRQ:
        yield Write(_SYSRQ, "f")
    elif target is None:
        yield kfunc
    elif call.via == Via.LIMIT:
        hierarchy.require_target(target)
        limit = max((target.controller.memory_current or 0) - _amount(call), 0)
        limit -= (
            limit % PAGE_SIZE
        )  # as the kernel does (page_counter_memparse), to compare it later
        console.detail(f"lowers memory.max of {target.directory} to {format_size(limit)}")
        path = target.directory / "memory.max"
        with temporarily(path, str(limit), journal) as change:
            yield Limit(target, limit, change.was)
    elif call.via == Via.RECLAIM:
        yield Reclaim(target, _amount(call), kfunc)
    elif call.via == Via.PSI:
        yield Stall(target, call.stall, kfunc)
    elif call.via == Via.KILL:
        yield Write(target.directory / "cgroup.kill", "1")
    elif step.recheck is None:
        yield kfunc
    else:
        yield Rechecked(kfunc, target, step.recheck)


def _usage(target: UnifiedNode) -> str:
    return str(target.directory / "memory.current")


def default_amount() -> int:
    """Return the bytes to free if the call names no amount: little, so that one victim is enough.

    Each CPU may hold up to 64 charged pages that no task uses (mm/memcontrol.c,
    MEMCG_CHARGE_BATCH). It gives them back before any task is killed, so the amount is larger.
    """
    return max(_LEAST, _CACHED_PER_CPU * os.sysconf("SC_NPROCESSORS_ONLN"))


def _amount(call: Call) -> int:
    return default_amount() if call.amount is None else call.amount


def target_id(target: UnifiedNode) -> int:
    """Return the id of a target; KernelFileError if it is gone."""
    try:
        return target.id
    except OSError as error:
        raise explain(error, target.directory, "look at") from error


def _result(
    end: CallerEnd,
    shared: SharedResult,
    ret: int | None,
    when: str,
    began_ns: int | None = None,
    ended_ns: int | None = None,
) -> CallResult:
    """Return the result of a call; `when` says what a caller that was cut off was doing."""
    return CallResult(
        Stage.CALLED,
        shared.began_ns if began_ns is None else began_ns,
        shared.ended_ns if ended_ns is None else ended_ns,
        ret,
        end.timed_out,
        end.pid,
        attempts=shared.attempts,
        spared=bool(shared.spared),
        reclaimed=shared.reclaimed if shared.wrote_reclaim else None,
        # a caller that was killed at the timeout is judged by that
        failed=end.failure(when).why if end.cut_off and not end.timed_out else "",
    )
