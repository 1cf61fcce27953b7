"""The running kernel's BTF: bpf_out_of_memory(), its provider and its shape.

Also the functions and tracepoints that oomctl's programs attach to.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import Structure, c_uint32
from dataclasses import dataclass
from pathlib import Path

from oomctl.bpf import libbpf
from oomctl.errors import UnsupportedError

KFUNC = "bpf_out_of_memory"
VMLINUX = "vmlinux"
_KERNEL_BTF = Path("/sys/kernel/btf")

# include/uapi/linux/btf.h
_INT, _PTR, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF, _VOLATILE, _CONST = 1, 2, 4, 5, 6, 7, 8, 9, 10
_FUNC = 12
_KEYWORD = {_STRUCT: "struct ", _UNION: "union ", _ENUM: "enum ", _FWD: "struct "}


class _Type(Structure):
    _fields_ = [("name_off", c_uint32), ("info", c_uint32), ("size_or_type", c_uint32)]


class _Param(Structure):
    _fields_ = [("name_off", c_uint32), ("type", c_uint32)]


class _Member(Structure):
    _fields_ = [("name_off", c_uint32), ("type", c_uint32), ("offset", c_uint32)]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel function: its C type by BTF, and its name."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type}{'' if self.type.endswith('*') else ' '}{self.name}"


@dataclass(frozen=True)
class Kfunc:
    """bpf_out_of_memory() as the running kernel has it.

    `provider` is "vmlinux" or the module's name; `parameters` are in order.
    """

    provider: str
    parameters: tuple[Parameter, ...]

    @property
    def signature(self) -> str:
        """The prototype in C."""
        return f"int {KFUNC}({', '.join(map(str, self.parameters))})"

    @property
    def variant(self) -> str:
        """The posted series with this shape: "RFC", "v1", "v2" or "v3"; else "unknown"."""
        return variant_of(tuple(parameter.type for parameter in self.parameters))

    def require_callable(self) -> None:
        """Raise UnsupportedError unless it has the shape that oomctl's program calls."""
        if self.variant != "v3":
            raise UnsupportedError(
                f"this kernel's {KFUNC}() has another shape ({self.variant}): {self.signature}",
                "oomctl calls (struct mem_cgroup *, int order, u64 flags), the v3 of January 2026",
            )


@dataclass(frozen=True)
class Members:
    """The members of a struct of the kernel, in order, and its id in the BTF of its provider.

    `provider` is "vmlinux" or the module's name.
    """

    provider: str
    type_id: int
    names: tuple[str, ...]


def variant_of(types: tuple[str, ...]) -> str:
    """Return the series with these parameter types; only v1 and v2 had a constraint text."""
    match types:
        case ("struct mem_cgroup *", "int"):
            return "RFC"
        case ("struct mem_cgroup *", "int", "bool" | "_Bool", *text) if text in ([], ["char *"]):
            return "v1"
        case ("struct mem_cgroup *", "int", "u64" | "__u64", "char *"):
            return "v2"
        case ("struct mem_cgroup *", "int", "u64" | "__u64"):
            return "v3"
        case _:
            return "unknown"


class Vmlinux:
    """The BTF of the running kernel itself, as `vmlinux()` opens it."""

    def __init__(self, btf: int) -> None:
        self._btf = btf

    def function(self, name: str) -> tuple[Parameter, ...] | None:
        """Return the parameters of a function; None if the kernel does not have it."""
        return _parameters(self._btf, name, _FUNC)

    def tracepoint(self, name: str) -> tuple[Parameter, ...] | None:
        """Return the arguments of a program on a tracepoint; None if the kernel lacks it."""
        found = _parameters(self._btf, f"btf_trace_{name}", _TYPEDEF)
        return None if found is None else found[1:]  # the first, void *__data, is not passed on


@contextmanager
def vmlinux() -> Iterator[Vmlinux]:
    """Open the BTF of the running kernel; UnsupportedError if it has none.

    Inside of such a block nothing in this module opens it again: libbpf reads it in pieces of a
    page (fs/kernfs/file.c, kernfs_file_read_iter()), more than a thousand.
    """
    with _vmlinux() as btf:
        yield Vmlinux(btf)


def find_kfunc() -> Kfunc | None:
    """Find bpf_out_of_memory() in the BTF of vmlinux, then in that of each module."""
    for provider, btf in _providers():
        if (parameters := _parameters(btf, KFUNC, _FUNC)) is not None:
            return Kfunc(provider, parameters)
    return None


def find_members(struct: str) -> Members | None:
    """Find the members of a struct in the BTF of vmlinux, then in that of each module."""
    for provider, btf in _providers():
        if (type_id := _find(btf, struct, _STRUCT)) is not None:
            described, address = _type(btf, type_id)
            count = described.info & 0xFFFF
            members = (_Member * count).from_address(address + ctypes.sizeof(_Type))
            names = tuple(_name(btf, member.name_off) for member in members)
            return Members(provider, type_id, names)
    return None


def _providers() -> Iterator[tuple[str, int]]:
    """Yield vmlinux and each loaded module with its BTF, which is open until the next."""
    load = libbpf.library().btf__load_module_btf
    with _vmlinux() as vmlinux:
        yield VMLINUX, vmlinux
        for module in sorted(path.name for path in _KERNEL_BTF.iterdir() if path.name != VMLINUX):
            with _owned(load, module.encode(), vmlinux) as btf:
                if btf:
                    yield module, btf


@contextmanager
def _owned(load: "ctypes._NamedFuncPointer", *arguments: object) -> Iterator[int | None]:
    """A BTF handle, freed at the end; None if it cannot be loaded (a module was just unloaded)."""
    handle, _errno = libbpf.call(load, *arguments)
    try:
        yield handle
    finally:
        if handle:
            libbpf.library().btf__free(handle)


@contextmanager
def _vmlinux() -> Iterator[int]:
    global _opened
    if _opened is not None:
        yield _opened
        return
    with _owned(libbpf.library().btf__load_vmlinux_btf) as btf:
        if btf is None:
            raise UnsupportedError(
                f"this kernel has no BTF at {_KERNEL_BTF}/vmlinux",
                "boot one with CONFIG_DEBUG_INFO_BTF=y",
            )
        _opened = btf
        try:
            yield btf
        finally:
            _opened = None
            _found.clear()


_opened: int | None = None
"""That of vmlinux, inside of a block that has opened it."""
_found: dict[tuple[str, int], int | None] = {}
"""What was found in it by name and kind."""


def _parameters(btf: int, name: str, kind: int) -> tuple[Parameter, ...] | None:
    """Return the parameters of a function, or of the function that a typedef points to."""
    if (type_id := _find(btf, name, kind)) is None:
        return None
    prototype, address = _type(btf, _type(btf, type_id)[0].size_or_type)
    if _kind(prototype) == _PTR:
        prototype, address = _type(btf, prototype.size_or_type)
    count = prototype.info & 0xFFFF
    params = (_Param * count).from_address(address + ctypes.sizeof(_Type))
    return tuple(Parameter(_render(btf, p.type), _name(btf, p.name_off)) for p in params)


def _find(btf: int, name: str, kind: int) -> int | None:
    if btf != _opened:
        return _searched(btf, name, kind)
    if (name, kind) not in _found:
        _found[name, kind] = _searched(btf, name, kind)
    return _found[name, kind]


def _searched(btf: int, name: str, kind: int) -> int | None:
    """Compare the name with that of each type: vmlinux has more than a hundred thousand."""
    find = libbpf.library().btf__find_by_name_kind
    type_id, _errno = libbpf.call(find, btf, name.encode(), kind)
    return int(type_id) if type_id > 0 else None


def _kind(described: _Type) -> int:
    return int(described.info >> 24 & 0x1F)


def _type(btf: int, type_id: int) -> tuple[_Type, int]:
    address = libbpf.library().btf__type_by_id(btf, type_id)
    return _Type.from_address(address), address


def _name(btf: int, offset: int) -> str:
    name: bytes = libbpf.library().btf__name_by_offset(btf, offset)
    return name.decode()


def _render(btf: int, type_id: int) -> str:
    if type_id == 0:
        return "void"
    described, _address = _type(btf, type_id)
    kind = _kind(described)
    if kind == _PTR:
        return f"{_render(btf, described.size_or_type)} *"
    if kind in (_CONST, _VOLATILE):
        return _render(btf, described.size_or_type)
    return f"{_KEYWORD.get(kind, '')}{_name(btf, described.name_off)}"
