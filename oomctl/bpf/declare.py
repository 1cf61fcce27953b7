"""The BPF program that declares OOM on a cgroup, in the task that runs it."""

from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import Self

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.oom.plan import Call


class CallStruct(Structure):
    """`struct oomctl_call` of bpf/declare.h."""

    _fields_ = [
        ("cgroup_id", c_uint64),
        ("flags", c_uint64),
        ("order", c_int32),
        ("global", c_uint32),
        ("slot", c_uint32),
        ("unused", c_uint32),
    ]


class CallResultStruct(Structure):
    """`struct oomctl_call_result` of bpf/declare.h."""

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("ret", c_int32),
        ("stage", c_uint32),
    ]


class DeclareProgram(libbpf.BpfObject):
    """The loaded program; its results stay in a map, one for each slot."""

    def __init__(self) -> None:
        super().__init__(resources.built("declare.bpf.o"))

    def __enter__(self) -> Self:
        super().__enter__()
        self._fd = self.program_fd("declare")
        self._results = self.array("call_results", CallResultStruct)
        return self

    def run(self, call: Call, cgroup_id: int | None, slot: int) -> int:
        """Declare OOM on a cgroup (None: the whole system) in this task.

        Returns 0 or the positive errno of bpf(2); the result of the kfunc is in the slot.
        """
        self._results[slot] = CallResultStruct()
        context = CallStruct(cgroup_id or 0, call.flags, call.order, cgroup_id is None, slot)
        return libbpf.run_syscall_program(self._fd, context)

    def read(self, slot: int) -> CallResultStruct:
        """Return the result in a slot."""
        return self._results[slot]

    def clear(self, slots: int) -> None:
        """Clear the first `slots` slots."""
        for slot in range(slots):
            self._results[slot] = CallResultStruct()
