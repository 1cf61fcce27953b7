"""libbpf.so.1 through ctypes: its functions, their errors, and its log."""

import ctypes
import functools
from collections import deque
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_int, c_size_t, c_void_p
from typing import Any

from oomctl import console
from oomctl.errors import UnsupportedError

_log: deque[str] = deque(maxlen=2000)

_DEBUG = 2  # LIBBPF_DEBUG, tools/lib/bpf/libbpf.h
# vsnprintf() takes the va_list of libbpf: a pointer on x86-64 and on arm64.
_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
SAMPLE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)


class TestRunOpts(Structure):
    """`struct bpf_test_run_opts`: every version of libbpf reads only `sz` bytes."""

    _fields_ = [
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_version_string": (c_char_p, []),
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__find_map_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, c_bool]),
    "bpf_program__set_flags": (c_int, [c_void_p, ctypes.c_uint32]),
    "bpf_program__set_type": (c_int, [c_void_p, c_int]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "ring_buffer__new": (c_void_p, [c_int, SAMPLE, c_void_p, c_void_p]),
    "ring_buffer__add": (c_int, [c_void_p, c_int, SAMPLE, c_void_p]),
    "ring_buffer__consume": (c_int, [c_void_p]),
    "ring_buffer__epoll_fd": (c_int, [c_void_p]),
    "ring_buffer__free": (None, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_prog_test_run_opts": (c_int, [c_int, POINTER(TestRunOpts)]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, ctypes.c_uint64]),
    "bpf_btf_get_next_id": (c_int, [ctypes.c_uint32, c_void_p]),
    "bpf_btf_get_fd_by_id": (c_int, [ctypes.c_uint32]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, c_void_p]),
    "libbpf_register_prog_handler": (c_int, [c_char_p, c_int, c_int, c_void_p]),
    "btf__load_vmlinux_btf": (c_void_p, []),
    "btf__load_module_btf": (c_void_p, [c_char_p, c_void_p]),
    "btf__free": (None, [c_void_p]),
    "btf__find_by_name_kind": (ctypes.c_int32, [c_void_p, c_char_p, ctypes.c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, ctypes.c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, ctypes.c_uint32]),
    "btf__resolve_size": (ctypes.c_int64, [c_void_p, ctypes.c_uint32]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Open libbpf.so.1 and set every prototype; UnsupportedError if it is not installed."""
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise UnsupportedError(
            "the library libbpf.so.1 is not installed",
            "run `apt install libbpf1` (or your distribution's)",
        ) from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(_printer())
    return lib


@functools.cache
def _printer() -> Any:
    """Return the log callback, which must live forever: libbpf keeps the pointer."""
    vsnprintf = ctypes.PyDLL(None).vsnprintf  # called with the GIL held, so one buffer is enough
    vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
    buffer = ctypes.create_string_buffer(1 << 16)

    def keep(level: int, fmt: bytes, arguments: int) -> int:
        if level == _DEBUG and not console.verbose():
            return 0  # a thousand lines for each object
        vsnprintf(buffer, len(buffer), fmt, arguments)
        _log.extend(buffer.value.decode(errors="backslashreplace").splitlines())
        return 0

    return _PRINT(keep)


def version() -> str:
    """Return libbpf's version, such as "1.1"."""
    text: bytes = library().libbpf_version_string()
    return text.decode().removeprefix("v")


def log() -> str:
    """Return the log of libbpf and the verifier since `begin_log()`; of very much the end."""
    return "\n".join(_log)


def begin_log() -> None:
    """Forget the log so far."""
    _log.clear()


def last_errno(ret: int = 0) -> int:
    """Return the errno of a failed call: its negative result, else the one that ctypes kept."""
    return -ret if ret < 0 else ctypes.get_errno()


def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Call a libbpf function and return its result and, if that is NULL or negative, the errno."""
    ctypes.set_errno(0)
    result = function(*arguments)
    failed = result is None or (isinstance(result, int) and result < 0)
    return result, last_errno(result or 0) if failed else 0


def run_syscall_program(fd: int, context: Structure) -> int:
    """Run a SEC("syscall") program in this task and return 0 or a positive errno.

    It takes only its context (net/bpf/test_run.c, bpf_prog_test_run_syscall()): every other field
    must be 0.
    """
    opts = TestRunOpts(
        sz=ctypes.sizeof(TestRunOpts),
        ctx_in=ctypes.cast(ctypes.pointer(context), c_void_p),
        ctx_size_in=ctypes.sizeof(context),
    )
    _ret, error = call(library().bpf_prog_test_run_opts, fd, ctypes.byref(opts))
    return error
