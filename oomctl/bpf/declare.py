"""The BPF program that declares OOM on a cgroup, in the task that runs it."""

from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import Self

from oomctl import resources
from oomctl.bpf import btf, libbpf
from oomctl.bpf.bpfobject import BpfObject
from oomctl.errors import UnsupportedError
from oomctl.oom.plan import Call

TASK_WORK = "bpf_task_work_schedule_signal"
"""The kfunc by which a program has a callback run in task work."""


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


class DeclareProgram(BpfObject):
    """The loaded program; its results stay in a map, one for each slot."""

    file = "declare.bpf.o"
    later = False
    """Whether the call may come after bpf(2) has returned."""

    def __init__(self) -> None:
        super().__init__(resources.built(self.file))

    def __enter__(self) -> Self:
        super().__enter__()
        self._fd = self.program_fd("declare")
        self._results = self.array("call_results", CallResultStruct)
        return self

    def words(self, call: Call, cgroup_id: int | None) -> dict[str, str | int]:
        """Return the arguments with which caller.c declares OOM on a cgroup (None: the system)."""
        words = {"program": self._fd, "results": self._results.fd, "cgroup": cgroup_id or 0}
        return {**words, "order": str(call.order), "flags": call.flags, "later": int(self.later)}

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


class TaskWorkProgram(DeclareProgram):
    """The same with the call in task work, before the task returns to user space from bpf(2)."""

    file = "task_work.bpf.o"
    later = True

    def __enter__(self) -> Self:
        """Load; UnsupportedError if the kernel cannot run a BPF callback in task work."""
        with btf.vmlinux() as vmlinux:
            if vmlinux.function(TASK_WORK) is None:
                raise UnsupportedError(
                    f"this kernel has no {TASK_WORK}(), so the call cannot be made in task work",
                    "take Linux 7.0 or later, or context = 'syscall'",
                )
        super().__enter__()
        return self
