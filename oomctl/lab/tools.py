"""The programs that the lab needs on the host, and the command that brings each."""

import platform
import shutil
import sys
from pathlib import Path

from oomctl.errors import UnsupportedError

_QEMU_PACKAGES = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}


def virtme_run() -> Path:
    """Find virtme-ng's runner beside this Python or in PATH; UnsupportedError where missing."""
    beside = Path(sys.executable).parent / "virtme-run"
    found = beside if beside.exists() else _which("virtme-run")
    if found is None:
        raise UnsupportedError(
            "virtme-ng is not installed, and the lab boots through it",
            "pip install 'oomctl[lab]'",
        )
    return found


def qemu() -> Path:
    """Find QEMU for this machine's architecture."""
    machine = platform.machine()
    return _needed(f"qemu-system-{machine}", _QEMU_PACKAGES.get(machine, "qemu-system"))


def require() -> None:
    """Check everything a boot needs: UnsupportedError names all that is missing in one line."""
    virtme_run()
    # virtme-ng runs `file` to learn a kernel's release and modprobe to resolve its modules.
    wanted = {"modprobe": "kmod", "depmod": "kmod", "file": "file"}
    missing = {package for tool, package in wanted.items() if _which(tool) is None}
    if _which(f"qemu-system-{platform.machine()}") is None:
        missing.add(_QEMU_PACKAGES.get(platform.machine(), "qemu-system"))
    if not any(_static(name) for name in ("busybox-static", "busybox.static", "busybox")):
        missing.add("busybox-static")
    if missing:
        raise UnsupportedError(
            f"the lab needs {', '.join(sorted(missing))}, not on this machine",
            f"apt install {' '.join(sorted(missing))}",
        )


def _needed(name: str, package: str) -> Path:
    found = _which(name)
    if found is None:
        raise UnsupportedError(f"{name} is not on this machine", f"apt install {package}")
    return found


def _which(name: str) -> Path | None:
    # Not every user has the sbin folders in PATH, where kmod's tools are.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return Path(found) if found else None


def _static(name: str) -> bool:
    """Tell whether a program is there and asks for no dynamic loader (ELF type PT_INTERP)."""
    found = _which(name)
    if found is None:
        return False
    return b"/ld-linux" not in found.read_bytes()[:4096]
