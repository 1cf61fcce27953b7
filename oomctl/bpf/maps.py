"""BPF maps as Python reads and writes them: arrays and ring buffers."""

import ctypes
import os
from collections.abc import Callable
from ctypes import Structure
from functools import partial
from typing import Any, Generic, TypeVar

from oomctl.bpf import libbpf
from oomctl.errors import OomctlError
from oomctl.signals import signals_blocked

Element = TypeVar("Element", bound=Structure)


class ArrayMap(Generic[Element]):
    """A BPF array map, each element of which is a ctypes struct."""

    def __init__(self, fd: int, element: type[Element]) -> None:
        self.fd = fd
        self._element = element

    def __getitem__(self, key: int) -> Element:
        """Return a copy of the element at `key`."""
        value = self._element()
        self._call("read", libbpf.library().bpf_map_lookup_elem, key, value)
        return value

    def __setitem__(self, key: int, value: Element) -> None:
        """Replace the element at `key`."""
        self._call("write", libbpf.library().bpf_map_update_elem, key, value, 0)

    def _call(
        self, doing: str, function: Callable[..., Any], key: int, value: Element, *flags: int
    ) -> None:
        index = ctypes.byref(ctypes.c_uint32(key))
        ret, error = libbpf.call(function, self.fd, index, ctypes.byref(value), *flags)
        if ret:
            raise OomctlError(f"cannot {doing} a BPF map: {os.strerror(error)}")


class RingBuffers:
    """The reader of BPF ring buffers; `fd` is readable if there is a sample in one of them."""

    def __init__(self, *map_fds: int) -> None:
        self._lib = libbpf.library()
        self._samples: list[list[bytes]] = [[] for _ in map_fds]
        # libbpf keeps the pointers
        self._takers = [libbpf.SAMPLE(partial(_append, samples)) for samples in self._samples]
        self._handle: int | None = None
        for map_fd, take in zip(map_fds, self._takers, strict=True):
            if self._handle is None:
                self._handle, error = libbpf.call(
                    self._lib.ring_buffer__new, map_fd, take, None, None
                )
                failed = not self._handle
            else:
                failed, error = libbpf.call(
                    self._lib.ring_buffer__add, self._handle, map_fd, take, None
                )
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
            ret, error = libbpf.call(self._lib.ring_buffer__consume, self._handle)
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
