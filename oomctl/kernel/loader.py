"""Loads oomctl's program and declares OOM with it, each time from a process of its own.

The program runs in the task that calls bpf(2). A process of its own can be ended when it waits
too long for oom_lock, and what it leaves in the map outlives it.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import NoReturn, Self

from oomctl import resources
from oomctl.answer import Answer, Stage
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.kernel import libbpf
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.interrupt import ENDING
from oomctl.plan import Call

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
CALLER_COMM = b"oomctl-caller"


class CallStruct(Structure):
    """`struct oomctl_call` of bpf/oomctl.h."""

    _fields_ = [
        ("cgroup_id", c_uint64),
        ("flags", c_uint64),
        ("order", c_int32),
        ("global", c_uint32),
    ]


class AnswerStruct(Structure):
    """`struct oomctl_answer` of bpf/oomctl.h."""

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("ret", c_int32),
        ("stage", c_uint32),
    ]


class Loader:
    """The loaded program; `declare()` may be called any number of times."""

    def __init__(self) -> None:
        self._object = libbpf.BpfObject(resources.built("oomctl.bpf.o"))

    def __enter__(self) -> Self:
        """Load it; UnsupportedError where the kernel does not let us."""
        self._object.__enter__()
        self._program = self._object.program_fd("declare")
        self._answers = self._object.map_fd("answers")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Unload it."""
        self._object.close()

    def declare(
        self,
        call: Call,
        cgroup_id: int | None,
        watch: DeathWatch,
        timeout: float,
        tick: Callable[[], None] | None = None,
    ) -> Answer:
        """Declare OOM on a cgroup (None: the whole system) and wait for the answer.

        Deaths of watched processes are noted meanwhile. After `timeout` seconds the caller is
        killed, which ends its wait for oom_lock. `tick` is called every few milliseconds.
        """
        context = CallStruct(cgroup_id or 0, call.flags, call.order, cgroup_id is None)
        libbpf.write_map(self._answers, 0, AnswerStruct())
        pid = self._fork_caller(context)
        watch.add(pid, reap=True)
        returned = watch.wait(lambda: pid in watch.deaths, timeout, tick)
        if not returned:
            watch.kill([pid])
            if not watch.wait(lambda: pid in watch.deaths, 5):
                raise OomctlError(
                    f"the caller (pid {pid}) is stuck in the kernel and cannot be killed",
                    f"see `cat /proc/{pid}/stack` and dmesg",
                )
        death = watch.deaths.pop(pid)
        raw = AnswerStruct()
        libbpf.read_map(self._answers, 0, raw)
        if death.status:
            raise UnsupportedError(
                f"the kernel did not run oomctl's BPF program: {os.strerror(death.status)}",
                "`-v` shows libbpf's log",
                detail=libbpf.log(),
            )
        return _answer(raw, pid, timed_out=not returned)

    def _fork_caller(self, context: CallStruct) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _call_and_exit(self._program, context, parent)
        return pid


def _call_and_exit(program: int, context: CallStruct, parent: int) -> NoReturn:
    """Run in the child: it must leave by _exit, since everything it holds is its parent's."""
    try:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NAME, CALLER_COMM, 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            os._exit(libbpf.run_syscall_program(program, context))
    finally:
        os._exit(255)


def _answer(raw: AnswerStruct, caller: int, timed_out: bool) -> Answer:
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
            raise OomctlError("the caller died before it reached the kfunc", "run it again with -v")
    returned = raw.ended_ns != 0
    return Answer(
        stage,
        raw.began_ns or time.monotonic_ns(),
        raw.ended_ns,
        raw.ret if returned else None,
        timed_out,
        caller,
    )
