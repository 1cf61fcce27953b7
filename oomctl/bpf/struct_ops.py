"""Loads programs of a struct_ops type of a module: libbpf before 1.4 looks in vmlinux only."""

import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_int, c_long, c_size_t, c_uint32
from dataclasses import dataclass

from oomctl.bpf import libbpf
from oomctl.bpf.btf import VMLINUX, find_members
from oomctl.errors import OomctlError

# include/uapi/linux/bpf.h
_STRUCT_OPS = 27
_SLEEPABLE = 1 << 4


class _LoadOpts(Structure):
    """The first fields of `struct bpf_prog_load_opts`."""

    _fields_ = [
        ("sz", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_int),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
        ("attach_btf_obj_fd", c_uint32),
    ]


_PREPARE = CFUNCTYPE(c_int, ctypes.c_void_p, POINTER(_LoadOpts), c_long)


class _HandlerOpts(Structure):
    """`struct libbpf_prog_handler_opts`."""

    _fields_ = [
        ("sz", c_size_t),
        ("cookie", c_long),
        ("setup", ctypes.c_void_p),
        ("prepare", _PREPARE),
        ("attach", ctypes.c_void_p),
    ]


class _BtfInfo(Structure):
    """`struct bpf_btf_info`."""

    _fields_ = [
        ("btf", ctypes.c_uint64),
        ("btf_size", c_uint32),
        ("id", c_uint32),
        ("name", ctypes.c_uint64),
        ("name_len", c_uint32),
        ("kernel_btf", c_uint32),
    ]


@dataclass(frozen=True)
class _Place:
    """The member that programs are loaded as, and the file descriptor of its BTF; 0 is vmlinux."""

    index: int
    type_id: int
    btf_fd: int


_places: dict[str, _Place] = {}


@contextmanager
def section(name: str, struct: str, member: str) -> Iterator[None]:
    """Load the programs of SEC(`name`), sleepable, as a member of a struct_ops type in this block.

    OomctlError if the kernel does not have the type, or libbpf does not take the section.
    """
    found = find_members(struct)
    if not found or member not in found.names:
        raise OomctlError(f"this kernel has no {member} in a struct {struct}")
    _register(name)
    fd = 0 if found.provider == VMLINUX else _btf_fd(found.provider)
    _places[name] = _Place(found.names.index(member), found.type_id, fd)
    try:
        yield
    finally:
        del _places[name]
        if fd:
            os.close(fd)


@functools.cache
def _register(name: str) -> object:
    """Have libbpf ask for the type of a section's programs; return the callback, to be kept.

    For good: in libbpf 1.1.2, after the last section is unregistered, the next registration
    corrupts the heap (src/libbpf.c, libbpf_unregister_prog_handler).
    """

    def prepare(_program: int | None, opts: "ctypes._Pointer[_LoadOpts]", _cookie: int) -> int:
        if not (place := _places.get(name)):
            return -errno.EINVAL
        load = opts.contents
        load.expected_attach_type, load.attach_btf_id = place.index, place.type_id
        load.attach_btf_obj_fd = place.btf_fd
        load.prog_flags |= _SLEEPABLE
        return 0

    kept = _PREPARE(prepare)
    handler = _HandlerOpts(ctypes.sizeof(_HandlerOpts), prepare=kept)
    register = libbpf.library().libbpf_register_prog_handler
    number, error = libbpf.call(register, name.encode(), _STRUCT_OPS, 0, ctypes.byref(handler))
    if number < 0:
        raise OomctlError(f"libbpf does not take a section '{name}': {os.strerror(error)}")
    return kept


def _btf_fd(module: str) -> int:
    """Return a file descriptor of a module's BTF."""
    lib = libbpf.library()
    number = c_uint32(0)
    while lib.bpf_btf_get_next_id(number, ctypes.byref(number)) == 0:
        fd = lib.bpf_btf_get_fd_by_id(number)
        if fd < 0:  # freed since
            continue
        name = ctypes.create_string_buffer(64)
        info = _BtfInfo(name=ctypes.addressof(name), name_len=len(name))
        size = c_uint32(ctypes.sizeof(info))
        lib.bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size))
        if info.kernel_btf and name.value.decode() == module:
            return int(fd)
        os.close(fd)
    raise OomctlError(f"the module {module} has no BTF, or was unloaded")
