"""A BPF object: opened, loaded, attached, and taken down again.

Mechanism only: `declare`, `observer`, `gate` and `removed_memcg` know the programs and structs.
"""

import errno
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oomctl.bpf import libbpf
from oomctl.bpf.maps import ArrayMap, Element
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.proc import capabilities


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
        self._lib = libbpf.library()
        self._handle: int | None = None
        self._links: list[int] = []

    def __enter__(self) -> Self:
        """Open and load; LoadError or OomctlError with the log as detail."""
        libbpf.begin_log()
        self._handle, error = libbpf.call(
            self._lib.bpf_object__open_file, os.fsencode(self.path), None
        )
        if not self._handle:
            raise OomctlError(
                f"libbpf cannot open {self.path}: {os.strerror(error)}", detail=libbpf.log()
            )
        for name in self._without:
            self._lib.bpf_program__set_autoload(self._program(name), False)
        if self._only:
            self._choose(self._only)
        ret, error = libbpf.call(self._lib.bpf_object__load, self._handle)
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
        link, error = libbpf.call(self._lib.bpf_program__attach, self._program(name))
        if not link:
            why = f"the kernel did not attach oomctl's program '{name}': {os.strerror(error)}"
            raise UnsupportedError(*_named(why, "`-v` shows libbpf's log"), detail=libbpf.log())
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

    def array(self, name: str, element: type[Element]) -> ArrayMap[Element]:
        """Return an array map; its elements are ctypes structs."""
        return ArrayMap(self.map_fd(name), element)


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
    # from bpf_btf_get_next_id(), by which libbpf looks for the kfunc in modules
    of_modules = error == errno.EPERM
    return LoadError(error, *_named(why, hint, of_modules), libbpf.log())


def _named(why: str, hint: str, of_modules: bool = False) -> tuple[str, str]:
    """Name the capabilities that we lack and their cures; with all of them return the arguments.

    CAP_SYS_ADMIN is one of them only if libbpf may not have been allowed to read modules' BTF.
    """
    lacks = list(capabilities.lacking(module=of_modules))
    if not lacks:
        return why, hint
    cures = dict.fromkeys(each.hint for each in lacks)
    return f"{why}: {', '.join(each.why for each in lacks)}", ", ".join(cures)
