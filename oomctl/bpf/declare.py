"""oomctl's BPF program, loaded: declares OOM on a cgroup from whatever task runs it."""

from ctypes import Structure, c_int32, c_uint32, c_uint64
from typing import Self

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.oom.plan import Call


class CallStruct(Structure):
    """`struct oomctl_call` of bpf/oomctl.h."""

    _fields_ = [
        ("cgroup_id", c_uint64),
        ("flags", c_uint64),
        ("order", c_int32),
        ("global", c_uint32),
        ("slot", c_uint32),
        ("unused", c_uint32),
    ]


class CallResultStruct(Structure):
    """`struct oomctl_answer` of bpf/oomctl.h."""

    _fields_ = [
        ("began_ns", c_uint64),
        ("ended_ns", c_uint64),
        ("ret", c_int32),
        ("stage", c_uint32),
    ]


class DeclareProgram:
    """The loaded program; its answers stay in a map, one for each slot."""

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

    def run(self, call: Call, cgroup_id: int | None, slot: int) -> int:
        """Declare OOM on a cgroup (None: the whole system) in this very task.

        Returns 0 or the positive errno of bpf(2); the kfunc's own answer is in the slot.
        """
        libbpf.write_map(self._answers, slot, CallResultStruct())
        context = CallStruct(cgroup_id or 0, call.flags, call.order, cgroup_id is None, slot)
        return libbpf.run_syscall_program(self._program, context)

    def read(self, slot: int) -> CallResultStruct:
        """Return the answer in a slot."""
        answer = CallResultStruct()
        libbpf.read_map(self._answers, slot, answer)
        return answer

    def clear(self, slots: int) -> None:
        """Empty the first so many slots."""
        for slot in range(slots):
            libbpf.write_map(self._answers, slot, CallResultStruct())
