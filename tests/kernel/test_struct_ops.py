"""The kernel side's struct bpf_oom_ops: a handler can be loaded, and not attached."""

import ctypes
import errno
import os
import struct
from contextlib import ExitStack

import pytest

from oomctl import resources
from oomctl.bpf import btf, struct_ops
from oomctl.bpf.bpfobject import BpfObject, Only

# include/uapi/linux/bpf.h
MAP_CREATE, MAP_UPDATE_ELEM, BTF_LOAD, LINK_CREATE = 0, 2, 18, 28
STRUCT_OPS_MAP, STRUCT_OPS_ATTACH = 26, 44
BY_LINK, VALUE_BTF_FD = 1 << 13, 1 << 15
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
VALUE_SIZE, DATA = 192, 64  # the handler's fd and its name, in a cache line of their own
# every map with a value type needs a BTF of its program: one with an int
INT_ONLY = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5)
INT_ONLY += struct.pack("<IIII", 1, 1 << 24, 4, 32) + b"\0int\0"


def bpf(command, attributes):
    """Call bpf(2); return a file descriptor, or the negative errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_size_t(len(attributes))
    ret = libc.syscall(ctypes.c_long(SYS_BPF), ctypes.c_long(command), attributes, size)
    return -ctypes.get_errno() if ret < 0 else ret


def address(of):
    return ctypes.addressof(of)


@pytest.fixture
def handler():
    """A loaded OOM handler."""
    found = btf.find_members("bpf_oom_ops")
    assert found
    assert found.names == ("handle_out_of_memory", "name")
    with (
        struct_ops.section("oom_handler", "bpf_oom_ops", "handle_out_of_memory"),
        BpfObject(resources.built("oom_ops.bpf.o"), only=Only("handle_nothing")) as loaded,
    ):
        yield loaded.program_fd("handle_nothing")


@pytest.fixture
def handlers_map():
    """A map of the struct_ops type, as libbpf 1.4 makes it."""
    value = btf.find_members("bpf_struct_ops_bpf_oom_ops")
    with ExitStack() as stack:
        module = value.provider != btf.VMLINUX
        module_fd = struct_ops._btf_fd(value.provider) if module else 0
        text = ctypes.create_string_buffer(INT_ONLY, len(INT_ONLY))
        own_fd = bpf(BTF_LOAD, struct.pack("<QQII", address(text), 0, len(INT_ONLY), 0))
        assert own_fd > 0
        stack.callback(os.close, own_fd)
        if module:
            stack.callback(os.close, module_fd)
        flags = BY_LINK | (VALUE_BTF_FD if module else 0)
        head = struct.pack("<IIIII", STRUCT_OPS_MAP, 4, VALUE_SIZE, 1, flags)
        names = struct.pack("<II16sI", 0, 0, b"handlers", 0)
        types = struct.pack("<IIII", own_fd, 0, 0, value.type_id)
        fd = bpf(MAP_CREATE, head + names + types + struct.pack("<Qii", 0, module_fd, 0))
        assert fd > 0, os.strerror(-fd)
        stack.callback(os.close, fd)
        yield fd


def update(map_fd, handler_fd, name):
    data = struct.pack("<Q64s", handler_fd, name)
    value = ctypes.create_string_buffer(bytes(DATA) + data, VALUE_SIZE)
    key = ctypes.create_string_buffer(4)
    return bpf(MAP_UPDATE_ELEM, struct.pack("<IIQQQ", map_fd, 0, address(key), address(value), 0))


def test_a_handler_goes_into_a_map_and_is_not_attached(handlers_map, handler):
    assert update(handlers_map, handler, b"none") == 0
    attributes = struct.pack("<IIII", handlers_map, 0, STRUCT_OPS_ATTACH, 0)
    assert bpf(LINK_CREATE, attributes) == -errno.EOPNOTSUPP


def test_a_handler_needs_a_name(handlers_map, handler):
    assert update(handlers_map, handler, b"") == -errno.EINVAL
