"""Declares OOM on a memory cgroup after its removal: the program holds a reference to it."""

import os
import time
from collections.abc import Callable
from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import Self

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.bpf.bpfobject import BpfObject
from oomctl.errors import OomctlError
from oomctl.proc import fork
from oomctl.proc.pidfd import PidfdWatch, look_again

COMM = b"oomctl-late"

_SECONDS = 5.0


class RemovalStruct(Structure):
    """`struct oomctl_removal` of bpf/smoke/removed_memcg.h."""

    _fields_ = [("cgroup_id", c_uint64)]


class RemovedMemcgStruct(Structure):
    """`struct oomctl_removed_memcg` of bpf/smoke/removed_memcg.h."""

    _fields_ = [
        ("until_ns", c_uint64),
        ("taken", c_uint32),
        ("removed", c_uint32),
        ("called", c_uint32),
        ("ret", c_int32),
    ]


class RemovedMemcg(BpfObject):
    """The loaded program."""

    def __init__(self) -> None:
        super().__init__(resources.built("removed_memcg.bpf.o"))

    def __enter__(self) -> Self:
        super().__enter__()
        self._fd = self.program_fd("declare_on_removed")
        self._slots = self.array("removed_memcgs", RemovedMemcgStruct)
        return self

    def declare_on_removed(self, cgroup_id: int, remove: Callable[[], object]) -> int | None:
        """Let the program take the cgroup, call `remove`, and return what the kfunc returned.

        None if the program did not call it.
        """
        until = time.monotonic_ns() + round(_SECONDS * 1e9)
        self._slots[0] = RemovedMemcgStruct(until_ns=until)
        with PidfdWatch() as watch, watch.all_end(_SECONDS) as pids:
            caller = fork.forked(
                lambda: libbpf.run_syscall_program(self._fd, RemovalStruct(cgroup_id)), COMM
            )
            pid = caller.pid
            watch.add(pid, reap=True)
            pids.append(pid)
            if watch.wait(lambda: bool(self._slots[0].taken), _SECONDS, look_again):
                remove()
                state = self._slots[0]
                state.removed = 1
                self._slots[0] = state
            if not watch.wait(lambda: pid in watch.deaths, 2 * _SECONDS):
                raise OomctlError(f"the program (pid {pid}) does not end", "see dmesg")
            death = watch.deaths[pid]
            if death.status and not caller.error:
                raise OomctlError(f"the kernel did not run it: {os.strerror(death.status)}")
            if death.status != 0:
                raise OomctlError(f"the process (pid {pid}) that runs it {caller.end(death)}")
        state = self._slots[0]
        return int(state.ret) if state.called else None
