"""The programs that the lab needs on the host, and the commands that install them."""

import importlib.util
import sys
from pathlib import Path

from oomctl.errors import UnsupportedError
from oomctl.lab import architecture
from oomctl.lab.architecture import Architecture
from oomctl.proc import programs

_INSTALL_LAB = "pip install 'oomctl[lab]'"


def virtme_run() -> Path:
    """Find virtme-ng's runner beside this Python or in PATH; UnsupportedError if missing."""
    beside = Path(sys.executable).parent / "virtme-run"
    found = str(beside) if beside.exists() else programs.which("virtme-run")
    if found is None:
        raise UnsupportedError(
            "virtme-ng is not installed, and the lab boots with it", _INSTALL_LAB
        )
    return Path(found)


def qemu() -> Path:
    """Find QEMU for this machine's architecture; UnsupportedError if missing."""
    return _find(*_qemu(architecture.native()))


def setsid() -> Path:
    """Find util-linux's setsid, which starts the command in the guest."""
    return _find("setsid", "util-linux")


def modprobe() -> Path:
    """Find kmod's modprobe, which reads compressed modules, unlike busybox's."""
    return _find("modprobe", "kmod")


def mke2fs() -> Path:
    """Find the program that makes the scratch disk's file system."""
    return _find("mke2fs", "e2fsprogs")


def busybox() -> Path | None:
    """Find a busybox that virtme-ng puts into an initramfs, None if there is none."""
    names = ("busybox-static", "busybox.static", "busybox")
    return next((Path(str(programs.which(name))) for name in names if _is_static(name)), None)


def _find(name: str, package: str) -> Path:
    found = programs.which(name)
    if found is None:
        raise UnsupportedError(f"{name} is not on this machine", f"apt install {package}")
    return Path(found)


def _qemu(guest: Architecture) -> tuple[str, str]:
    return f"qemu-system-{guest.machine}", guest.qemu_package


def require(guest: Architecture | None = None) -> None:
    """Check everything that a boot needs; UnsupportedError names all missing packages at once."""
    virtme_run()
    guest = guest or architecture.native()
    # virtme-ng runs `file` to read a kernel's release, and modprobe to resolve its modules.
    needed = dict([_qemu(guest)], modprobe="kmod", depmod="kmod", file="file")
    missing = {package for name, package in needed.items() if programs.which(name) is None}
    if guest.is_native and busybox() is None:
        missing.add("busybox-static")
    if missing:
        raise UnsupportedError(
            f"the lab needs {', '.join(sorted(missing))}, not on this machine",
            f"apt install {' '.join(sorted(missing))}",
        )


def require_python_debian() -> None:
    """Check that apt's files can be parsed; UnsupportedError if not."""
    if importlib.util.find_spec("debian") is None:
        raise UnsupportedError(
            "python-debian is not installed, and the lab reads apt's index with it", _INSTALL_LAB
        )


def _is_static(name: str) -> bool:
    """Tell whether a program exists and needs no dynamic loader (ELF type PT_INTERP)."""
    found = programs.which(name)
    return found is not None and b"/ld-linux" not in Path(found).read_bytes()[:4096]
