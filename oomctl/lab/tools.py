"""The programs that the lab needs on the host, and the command that brings each."""

import platform
import sys
from pathlib import Path

from oomctl.errors import UnsupportedError
from oomctl.proc import programs

_QEMU_PACKAGES = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}


def virtme_run() -> Path:
    """Find virtme-ng's runner beside this Python or in PATH; UnsupportedError where missing."""
    beside = Path(sys.executable).parent / "virtme-run"
    found = str(beside) if beside.exists() else programs.which("virtme-run")
    if found is None:
        raise UnsupportedError(
            "virtme-ng is not installed, and the lab boots through it",
            "pip install 'oomctl[lab]'",
        )
    return Path(found)


def qemu() -> Path:
    """Find QEMU for this machine's architecture; UnsupportedError where missing."""
    return _find(*_qemu())


def setsid() -> Path:
    """Find util-linux's setsid, which starts the command in the guest."""
    return _find("setsid", "util-linux")


def _find(name: str, package: str) -> Path:
    found = programs.which(name)
    if found is None:
        raise UnsupportedError(f"{name} is not on this machine", f"apt install {package}")
    return Path(found)


def _qemu() -> tuple[str, str]:
    machine = platform.machine()
    return f"qemu-system-{machine}", _QEMU_PACKAGES.get(machine, "qemu-system")


def require() -> None:
    """Check everything a boot needs: UnsupportedError names all that is missing in one line."""
    virtme_run()
    # virtme-ng runs `file` to learn a kernel's release and modprobe to resolve its modules.
    wanted = dict([_qemu()], modprobe="kmod", depmod="kmod", file="file")
    missing = {package for name, package in wanted.items() if programs.which(name) is None}
    if not any(_static(name) for name in ("busybox-static", "busybox.static", "busybox")):
        missing.add("busybox-static")
    if missing:
        raise UnsupportedError(
            f"the lab needs {', '.join(sorted(missing))}, not on this machine",
            f"apt install {' '.join(sorted(missing))}",
        )


def _static(name: str) -> bool:
    """Tell whether a program is there and asks for no dynamic loader (ELF type PT_INTERP)."""
    found = programs.which(name)
    return found is not None and b"/ld-linux" not in Path(found).read_bytes()[:4096]
