"""What a Python with oomctl's modules has loaded: printed for lab/packed.py, in its own process.

So it is not what the process that asks has loaded besides.
"""

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_KERNELS = ("/proc/", "/sys/", "/dev/", "/run/")


class _Read(dict[Any, Any]):
    """The variables of this process; it keeps the names that are asked for."""

    names: set[str]

    def __getitem__(self, name: bytes) -> bytes:
        """Return a variable, and remember its name."""
        self.names.add(os.fsdecode(name))
        value: bytes = super().__getitem__(name)
        return value

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a variable, and remember its name."""
        self.names.add(os.fsdecode(name))  # type: ignore[arg-type]
        return super().__contains__(name)


class _Object(ctypes.Structure):
    """The beginning of `struct dl_phdr_info` (dl_iterate_phdr(3))."""

    _fields_ = [("address", c_size_t), ("name", c_char_p)]


def main() -> None:
    """Import what waits in a guest, and print files, folders, origins and variables as JSON."""
    read = _Read(os.environ._data)  # type: ignore[attr-defined]
    read.names = set()
    os.environ._data = read  # type: ignore[attr-defined]
    opened: set[str] = set()
    sys.addaudithook(lambda event, given: _keep(opened, given[0]) if event == "open" else None)
    from oomctl.lab import waiting

    waiting.prepare()
    variables = {name: os.environ.get(name) for name in sorted(read.names)}
    modules = {name: module for name, module in [*sys.modules.items()] if _file(module)}
    files = {_file(module) for module in modules.values()}
    files |= {*_mapped(), *_beside(), *(path for path in opened if not path.endswith(".pyc"))}
    tops = {name: _place(module) for name, module in modules.items() if "." not in name}
    folders = [each for each in sys.path if Path(each).is_dir() and each != "/"]
    files.discard("")
    found = {"files": sorted(files), "folders": folders, "tops": tops, "variables": variables}
    print(json.dumps(found))


def _keep(opened: set[str], path: object) -> None:
    if isinstance(path, str) and path.startswith("/") and not path.startswith(_KERNELS):
        opened.add(path)


def _file(module: Any) -> str:
    """Return the file of a module, "" if it has none."""
    return getattr(module, "__file__", None) or ""


def _place(module: Any) -> str:
    """Return the folder of sys.path in which a module was found, "" if it is part of Python."""
    spec = getattr(module, "__spec__", None)
    if spec is None or not spec.has_location:
        return ""
    file = Path(_file(module))
    return str(file.parents[1 if file.stem == "__init__" else 0])


def _mapped() -> Iterator[str]:
    """Yield what is mapped: shared objects by the names that they were found with, the locale."""
    found: list[str] = []

    def keep(one: Any, _size: int, _data: int) -> int:
        found.append(os.fsdecode(one.contents.name or b""))
        return 0

    kind = ctypes.CFUNCTYPE(c_int, ctypes.POINTER(_Object), c_size_t, c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(keep), None)
    with open("/proc/self/maps") as maps:
        found += [line[line.index("/") :].rstrip("\n") for line in maps if "/" in line]
    yield from (path for path in found if path.startswith("/"))


def _beside() -> Iterator[str]:
    """Yield the files that a Python reads as it starts, and the loader's list of libraries."""
    yield sys.executable
    configuration = [Path(sys.prefix, "pyvenv.cfg"), Path("/etc/ld.so.cache")]
    paths = [path for folder in sys.path for path in sorted(Path(folder).glob("*.pth"))]
    yield from (str(path) for path in [*configuration, *paths] if path.is_file())


if __name__ == "__main__":
    main()
