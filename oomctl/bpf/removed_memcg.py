"""Declares OOM on a memory cgroup that was removed, by a program that holds it meanwhile."""

import os
import time
from collections.abc import Callable
from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import Self

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.errors import OomctlError
from oomctl.proc import fork
from oomctl.proc.pidfd import PidfdWatch

COMM = b"oomctl-late"

_SECONDS = 5.0


class LateStruct(Structure):
    """`struct oomctl_late` of bpf/smoke/dying.h."""

    _fields_ = [("cgroup_id", c_uint64)]


class RemovedMemcgStruct(Structure):
    """`struct oomctl_removed_memcg` of bpf/smoke/dying.h."""

    _fields_ = [
        ("until_ns", c_uint64),
        ("taken", c_uint32),
        ("removed", c_uint32),
        ("called", c_uint32),
        ("ret", c_int32),
    ]


class RemovedMemcg:
    """The loaded program."""

    def __init__(self) -> None:
        self._object = libbpf.BpfObject(resources.built("dying.bpf.o"))

    def __enter__(self) -> Self:
        """Load it; UnsupportedError where the kernel does not take it."""
        self._object.__enter__()
        self._program = self._object.program_fd("declare_late")
        self._slots = self._object.map_fd("removed_memcgs")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Unload it."""
        self._object.close()

    def declare_on_removed(self, cgroup_id: int, remove: Callable[[], object]) -> int | None:
        """Have the program take the cgroup, remove that, have it declare; return what it got.

        None where it did not come so far.
        """
        until = time.monotonic_ns() + round(_SECONDS * 1e9)
        libbpf.write_map(self._slots, 0, RemovedMemcgStruct(until_ns=until))
        with PidfdWatch() as watch:
            late = fork.forked(
                lambda: libbpf.run_syscall_program(self._program, LateStruct(cgroup_id)), COMM
            )
            pid = late.pid
            watch.add(pid, reap=True)
            if watch.wait(lambda: bool(self._state().taken), _SECONDS, _nothing):
                remove()
                state = self._state()
                state.removed = 1
                libbpf.write_map(self._slots, 0, state)
            if not watch.wait(lambda: pid in watch.deaths, 2 * _SECONDS):
                watch.kill({pid})
                raise OomctlError(f"the program (pid {pid}) does not come back", "see dmesg")
            death = watch.deaths[pid]
            if death.status and not late.error:
                raise OomctlError(f"the kernel did not run it: {os.strerror(death.status)}")
            if death.status != 0:
                raise OomctlError(f"the process (pid {pid}) that runs it {late.end(death)}")
        state = self._state()
        return int(state.ret) if state.called else None

    def _state(self) -> RemovedMemcgStruct:
        state = RemovedMemcgStruct()
        libbpf.read_map(self._slots, 0, state)
        return state


def _nothing() -> None:
    """Wake up every few milliseconds to look again."""
