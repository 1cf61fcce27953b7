"""What makes the OOM killer run, or comes to the same: the kfunc, a limit, sysrq, cgroup.kill.

`trigger()` sets one up for a target and takes back what it changed.
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
from oomctl.experiment.callers import Ended, SharedResult, Trigger
from oomctl.experiment.setting import temporarily
from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError, explain
from oomctl.journal.file import Journal
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.plan import Call, Recheck, Step
from oomctl.proc.procfs import PAGE_SIZE
from oomctl.units import format_size

_SYSRQ = Path("/proc/sysrq-trigger")
_OURS = frozenset({errno.EMFILE, errno.ENFILE})
"""Errnos of open(2) that say nothing of the file."""
_LEAST, _HELD_PER_CPU = 1 << 20, 512 << 10


class Declaration:
    """bpf_out_of_memory() through the loaded program."""

    def __init__(self, program: DeclareProgram, call: Call, cgroup_id: int | None) -> None:
        self._program = program
        self._call = call
        self._cgroup_id = cgroup_id

    def pull(self, number: int, shared: SharedResult) -> int:
        """Declare once."""
        shared.attempts += 1
        return self._program.run(self._call, self._cgroup_id, number)

    def left_by(self, number: int) -> CallResultStruct:
        """Return what the program left for this caller."""
        return self._program.read(number)

    def answer(self, ended: Ended, shared: SharedResult) -> CallResult:
        """Read it from the map: the caller may be dead."""
        if ended.status and not ended.error:
            raise UnsupportedError(
                f"the kernel did not run oomctl's BPF program: {os.strerror(ended.status)}",
                "`-v` shows libbpf's log",
                detail=libbpf.log(),
            )
        return _from_map(self._program.read(ended.number), ended, shared)


class Rechecked:
    """The kfunc without waiting; between two tries a look whether it is still needed."""

    def __init__(self, kfunc: Declaration, target: UnifiedNode, recheck: Recheck) -> None:
        self._kfunc = kfunc
        self._recheck = recheck
        self._path = target.directory / "memory.current"
        try:
            self._usage = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise explain(error, self._path, "open") from error

    def close(self) -> None:
        """Close the file of the target's usage."""
        os.close(self._usage)

    def pull(self, number: int, shared: SharedResult) -> int:
        """Try until it is let in, or until the target uses little enough."""
        shared.began_ns = time.monotonic_ns()
        while self._used() > self._recheck.above:
            if status := self._kfunc.pull(number, shared):
                return status
            if self._kfunc.left_by(number).ret != -errno.EBUSY:
                return 0
            time.sleep(self._recheck.every)
        shared.spared = 1
        shared.ended_ns = time.monotonic_ns()
        return 0

    def _used(self) -> int:
        try:
            return int(os.pread(self._usage, 32, 0))
        except OSError as error:
            raise explain(error, self._path, "read") from error

    def answer(self, ended: Ended, shared: SharedResult) -> CallResult:
        """Tell what the last try came to; nothing where the caller gave up."""
        if shared.spared:
            return _from_shared(ended, shared, None, "after it gave up")
        last = self._kfunc.left_by(ended.number)
        cleared = shared.attempts > 1 and last.stage == Stage.NOT_RUN
        refused = last.ret == -errno.EBUSY and not ended.timed_out
        if ended.cut_off and (cleared or refused):
            raise ended.because("between two tries")
        return self._kfunc.answer(ended, shared)


class Write:
    """One write to a file of the kernel's, which does its work before it returns (not sysrq)."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def pull(self, _number: int, shared: SharedResult) -> int:
        """Write."""
        shared.attempts = 1
        shared.began_ns = time.monotonic_ns()
        shared.ret = _write(self.path, self.text)
        shared.ended_ns = time.monotonic_ns()
        return 0

    def answer(self, ended: Ended, shared: SharedResult) -> CallResult:
        """Tell 0, or the negative errno."""
        if not shared.began_ns:
            raise ended.because(f"before it wrote {self.path}")
        if not shared.ended_ns:
            return _from_shared(ended, shared, None, f"while it wrote {self.path}")
        return _from_shared(ended, shared, shared.ret, f"after it wrote {self.path}")


class Limit(Write):
    """A limit below what a target uses; the kernel kills until the usage is below.

    The caller itself puts back what `was`, at once: whatever else needed memory in the target would
    make the kernel kill on.
    """

    def __init__(self, target: UnifiedNode, limit: int, was: str) -> None:
        super().__init__(target.directory / "memory.max", str(limit))
        self.limit = limit
        self._was = was

    def pull(self, number: int, shared: SharedResult) -> int:
        """Write, then put it back."""
        status = super().pull(number, shared)
        _write(self.path, self._was)
        return status


class Reclaim:
    """memory.reclaim first; only if that does not free enough, the kfunc."""

    def __init__(self, target: UnifiedNode, amount: int, kfunc: Declaration) -> None:
        self._usage = target.directory / "memory.current"
        self._reclaim = target.directory / "memory.reclaim"
        self._amount = amount
        self._kfunc = kfunc

    def pull(self, number: int, shared: SharedResult) -> int:
        """Reclaim, then declare if need be."""
        before = self._used()
        shared.asked_to_reclaim = 1
        shared.began_ns = time.monotonic_ns()
        shared.ret = _write(self._reclaim, str(self._amount))
        ended = time.monotonic_ns()
        shared.reclaimed = max(before - self._used(), 0)
        shared.ended_ns = ended  # last: it says that the rest is there
        return self._kfunc.pull(number, shared) if shared.ret else 0

    def _used(self) -> int:
        return int(kernelfile.read(self._usage))

    def answer(self, ended: Ended, shared: SharedResult) -> CallResult:
        """Tell what the kfunc said where it was called, else that it needed not be."""
        if shared.attempts:
            return self._kfunc.answer(ended, shared)
        if not shared.began_ns:
            raise ended.because(f"before it wrote {self._reclaim}")
        if not shared.ended_ns:
            raise ended.because(f"while it wrote {self._reclaim}")
        if shared.ret:
            raise ended.because("after memory.reclaim, before it called the kfunc")
        return _from_shared(ended, shared, None, "after memory.reclaim")


@contextmanager
def trigger(
    step: Step, target: UnifiedNode | None, program: DeclareProgram, journal: Journal
) -> Iterator[Trigger]:
    """Set up what a step pulls; `target` is None for the whole system.

    What `limit` writes to memory.max is taken back at the end.
    """
    call = step.call
    program.clear(step.callers)
    kfunc = Declaration(program, call, None if target is None else target_id(target))
    if call.via == "sysrq":
        yield Write(_SYSRQ, "f")
    elif target is None:
        yield kfunc
    elif call.via == "limit":
        limit = max(_usage(target) - _amount(call), 0)
        limit -= limit % PAGE_SIZE  # as the kernel does, so that what it holds can be compared
        console.detail(f"lowers memory.max of {target.directory} to {format_size(limit)}")
        path = target.directory / "memory.max"
        with temporarily(path, str(limit), journal) as change:
            yield Limit(target, limit, change.was)
    elif call.via == "reclaim":
        yield Reclaim(target, _amount(call), kfunc)
    elif call.via == "kill":
        yield Write(target.directory / "cgroup.kill", "1")
    elif step.recheck is None:
        yield kfunc
    else:
        rechecked = Rechecked(kfunc, target, step.recheck)
        try:
            yield rechecked
        finally:
            rechecked.close()


def _usage(target: UnifiedNode) -> int:
    hierarchy.require_target(target)
    return int(target.controller.memory_current or 0)


def default_amount() -> int:
    """Return the bytes to be freed where nothing is said: little, so that one victim is enough.

    A CPU holds back up to 64 pages of charge that nobody uses (mm/memcontrol.c, MEMCG_CHARGE_BATCH)
    and gives them back before anybody dies, so it must be more than that.
    """
    return max(_LEAST, _HELD_PER_CPU * os.sysconf("SC_NPROCESSORS_ONLN"))


def _amount(call: Call) -> int:
    return default_amount() if call.amount is None else call.amount


def target_id(target: UnifiedNode) -> int:
    """Return the id of a target; KernelFileError where it is gone."""
    try:
        return target.id
    except OSError as error:
        raise explain(error, target.directory, "look at") from error


def _write(path: Path, text: str) -> int:
    """Write in one go; return 0 or the negative errno.

    Raises KernelFileError if we have no descriptor for it, which is our own failure.
    """
    try:
        kernelfile.write(path, text)
    except KernelFileError as error:
        if error.errno in _OURS:
            raise
        return -error.errno
    return 0


def _from_map(raw: CallResultStruct, ended: Ended, shared: SharedResult) -> CallResult:
    stage = Stage(raw.stage)
    match stage:
        case Stage.CALLED:
            pass
        case Stage.NO_CGROUP | Stage.NO_MEMCG:
            raise UnsupportedError(
                "the kernel finds no memory controller for the target",
                "it was removed meanwhile, or its parent's cgroup.subtree_control lacks 'memory'",
            )
        case Stage.ROOT:
            raise UnsupportedError("the target is the root cgroup", "name a cgroup below it")
        case Stage.NOT_RUN:
            raise ended.because("before it called the kfunc")
    returned = raw.ended_ns != 0
    when = "after the call" if returned else "during the call"
    if returned and raw.ret == -errno.EINTR:
        when = "while it waited for oom_lock"
    return CallResult(
        stage,
        # a caller that rechecks has waited since its first try
        shared.began_ns or raw.began_ns or time.monotonic_ns(),
        raw.ended_ns,
        raw.ret if returned else None,
        ended.timed_out,
        ended.pid,
        attempts=shared.attempts,
        reclaimed=shared.reclaimed if shared.asked_to_reclaim else None,
        failed=_failed(ended, when),
    )


def _from_shared(ended: Ended, shared: SharedResult, ret: int | None, when: str) -> CallResult:
    return CallResult(
        Stage.CALLED,
        shared.began_ns,
        shared.ended_ns,
        ret,
        ended.timed_out,
        ended.pid,
        attempts=shared.attempts,
        spared=bool(shared.spared),
        reclaimed=shared.reclaimed if shared.asked_to_reclaim else None,
        failed=_failed(ended, when),
    )


def _failed(ended: Ended, when: str) -> str:
    """Say what ended a caller that did not come back; one that was late is judged by that."""
    return ended.because(when).why if ended.cut_off and not ended.timed_out else ""
