"""libbpf.so.1 through ctypes: open, load and run an object; its log is kept for errors.

Mechanism only: `declare`, `observer`, `gate` and `removed_memcg` know the programs and structs.
"""

import ctypes
import errno
import functools
import os
from collections import deque
from collections.abc import Callable, Collection
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from oomctl import console
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.proc import capabilities
from oomctl.signals import signals_blocked

_Element = TypeVar("_Element", bound=Structure)
_log: deque[str] = deque(maxlen=2000)

_DEBUG = 2  # LIBBPF_DEBUG, tools/lib/bpf/libbpf.h
# vsnprintf() takes the va_list of libbpf: a pointer on x86-64 and on arm64.
_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SAMPLE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)


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
    "ring_buffer__new": (c_void_p, [c_int, _SAMPLE, c_void_p, c_void_p]),
    "ring_buffer__add": (c_int, [c_void_p, c_int, _SAMPLE, c_void_p]),
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
    """Return the last log of libbpf and the verifier."""
    return "\n".join(_log)


def last_errno(ret: int = 0) -> int:
    """Return the errno of a failed call: its negative result, else the one that ctypes kept."""
    return -ret if ret < 0 else ctypes.get_errno()


def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Call a libbpf function and return its result and, if that is NULL or negative, the errno."""
    ctypes.set_errno(0)
    result = function(*arguments)
    failed = result is None or (isinstance(result, int) and result < 0)
    return result, last_errno(result or 0) if failed else 0


class LoadError(UnsupportedError):
    """The kernel or libbpf did not load an object, for this `errno`; `detail` is the log."""

    def __init__(self, errno: int, why: str, hint: str, detail: str) -> None:
        super().__init__(why, hint, detail)
        self.errno = errno


@dataclass(frozen=True)
class Only:
    """The only program of an object to load; `type` and `flags` override those of its section.

    They are the kernel's numbers (include/uapi/linux/bpf.h); None does not override.
    """

    program: str
    type: int | None = None
    flags: int | None = None


class BpfObject:
    """A loaded BPF object.

    `without` names programs that are not loaded; with `only` it is the only one that is.
    """

    def __init__(self, path: Path, without: Collection[str] = (), only: Only | None = None) -> None:
        self.path = path
        self._without = without
        self._only = only
        self._lib = library()
        self._handle: int | None = None
        self._links: list[int] = []

    def __enter__(self) -> Self:
        """Open and load; LoadError or OomctlError with the log as detail."""
        _log.clear()
        self._handle, error = call(self._lib.bpf_object__open_file, os.fsencode(self.path), None)
        if not self._handle:
            raise OomctlError(f"libbpf cannot open {self.path}: {os.strerror(error)}", detail=log())
        for name in self._without:
            self._lib.bpf_program__set_autoload(self._program(name), False)
        if self._only:
            self._choose(self._only)
        ret, error = call(self._lib.bpf_object__load, self._handle)
        if ret:
            self.close()
            raise _load_error(error)
        return self

    def _choose(self, only: Only) -> None:
        chosen = self._program(only.program)
        program = None
        while program := self._lib.bpf_object__next_program(self._handle, program):
            self._lib.bpf_program__set_autoload(program, program == chosen)
        if only.type is not None:
            self._lib.bpf_program__set_type(chosen, only.type)
        if only.flags is not None:
            self._lib.bpf_program__set_flags(chosen, only.flags)

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach the programs and unload what nothing else holds."""
        while self._links:
            self._lib.bpf_link__destroy(self._links.pop())
        if self._handle:
            self._lib.bpf_object__close(self._handle)
            self._handle = None

    def program_fd(self, name: str) -> int:
        """Return the file descriptor of a loaded program."""
        return int(self._lib.bpf_program__fd(self._program(name)))

    def attach(self, name: str) -> None:
        """Attach a loaded program as its section says, until this object is closed."""
        link, error = call(self._lib.bpf_program__attach, self._program(name))
        if not link:
            why = f"the kernel did not attach oomctl's program '{name}': {os.strerror(error)}"
            raise UnsupportedError(*_named(why, "`-v` shows libbpf's log"), detail=log())
        self._links.append(link)

    def _program(self, name: str) -> int:
        program = self._lib.bpf_object__find_program_by_name(self._handle, name.encode())
        if not program:
            raise OomctlError(f"{self.path.name} has no program '{name}'")
        return int(program)

    def map_fd(self, name: str) -> int:
        """Return the file descriptor of a map."""
        found = self._lib.bpf_object__find_map_by_name(self._handle, name.encode())
        if not found:
            raise OomctlError(f"{self.path.name} has no map '{name}'")
        return int(self._lib.bpf_map__fd(found))

    def array(self, name: str, element: type[_Element]) -> "ArrayMap[_Element]":
        """Return an array map; its elements are ctypes structs."""
        return ArrayMap(self.map_fd(name), element)


class ArrayMap(Generic[_Element]):
    """A BPF array map, each element of which is a ctypes struct."""

    def __init__(self, fd: int, element: type[_Element]) -> None:
        self.fd = fd
        self._element = element

    def __getitem__(self, key: int) -> _Element:
        """Return a copy of the element at `key`."""
        value = self._element()
        self._call("read", library().bpf_map_lookup_elem, key, value)
        return value

    def __setitem__(self, key: int, value: _Element) -> None:
        """Replace the element at `key`."""
        self._call("write", library().bpf_map_update_elem, key, value, 0)

    def _call(
        self, doing: str, function: Callable[..., Any], key: int, value: _Element, *flags: int
    ) -> None:
        index = ctypes.byref(ctypes.c_uint32(key))
        ret, error = call(function, self.fd, index, ctypes.byref(value), *flags)
        if ret:
            raise OomctlError(f"cannot {doing} a BPF map: {os.strerror(error)}")


class RingBuffers:
    """The reader of BPF ring buffers; `fd` is readable if there is a sample in one of them."""

    def __init__(self, *map_fds: int) -> None:
        self._lib = library()
        self._samples: list[list[bytes]] = [[] for _ in map_fds]
        # libbpf keeps the pointers
        self._takers = [_SAMPLE(partial(_append, samples)) for samples in self._samples]
        self._handle: int | None = None
        for map_fd, take in zip(map_fds, self._takers, strict=True):
            if self._handle is None:
                self._handle, error = call(self._lib.ring_buffer__new, map_fd, take, None, None)
                failed = not self._handle
            else:
                failed, error = call(self._lib.ring_buffer__add, self._handle, map_fd, take, None)
            if failed:
                self.close()
                raise OomctlError(f"cannot map a BPF ring buffer: {os.strerror(error)}")
        self.fd = int(self._lib.ring_buffer__epoll_fd(self._handle))

    def read(self) -> list[list[bytes]]:
        """Return the samples of each since the last read, without waiting.

        They are read one ring buffer after the other, in the order in which they were given. Ending
        signals are blocked: an exception would be lost inside libbpf's callback.
        """
        with signals_blocked():
            ret, error = call(self._lib.ring_buffer__consume, self._handle)
            if ret < 0:
                raise OomctlError(f"cannot read a BPF ring buffer: {os.strerror(error)}")
            found = [samples.copy() for samples in self._samples]
            for samples in self._samples:
                samples.clear()
        return found

    def close(self) -> None:
        """Unmap it."""
        if self._handle:
            self._lib.ring_buffer__free(self._handle)
            self._handle = None


def _append(samples: list[bytes], _context: int | None, data: int, size: int) -> int:
    samples.append(ctypes.string_at(data, size))
    return 0


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


def _load_error(error: int) -> LoadError:
    match error:
        case errno.EPERM:
            hint = "`oomctl doctor` finds the cause, `-v` shows libbpf's log"
        case errno.EACCES | errno.EINVAL:
            hint = "the verifier refused it; `-v` shows its log"
        case errno.ESRCH:
            hint = "this kernel lacks something that the program needs; `-v` shows the log"
        case _:
            hint = "`-v` shows libbpf's log"
    why = f"the kernel did not load oomctl's BPF program: {os.strerror(error)}"
    return LoadError(error, *_named(why, hint), log())


def _named(why: str, hint: str) -> tuple[str, str]:
    """Name the capabilities that we lack and their cures; with all of them return the arguments."""
    lacks = list(capabilities.lacking(module=True))
    if not lacks:
        return why, hint
    cures = dict.fromkeys(each.hint for each in lacks)
    return f"{why}: {', '.join(each.why for each in lacks)}", ", ".join(cures)
