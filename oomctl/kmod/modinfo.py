"""What a module says of itself: the kernel that it was built for."""

from pathlib import Path

from oomctl.errors import UsageError
from oomctl.kmod import elf


def vermagic(data: bytes) -> str | None:
    """Return the vermagic of a module's bytes, None if they have none and are no module.

    The section .modinfo has KEY=VALUE texts, each ended by NUL (include/linux/moduleparam.h,
    __MODULE_INFO).
    """
    for text in (elf.section(data, ".modinfo") or b"").split(b"\0"):
        key, _, value = text.partition(b"=")
        if key == b"vermagic":
            return value.decode(errors="replace")
    return None


def require_for(path: Path, release: str) -> None:
    """Raise UsageError unless a file is a module for the kernel of this release.

    The release is the first word of vermagic (include/linux/vermagic.h).
    """
    words = (vermagic(path.read_bytes()) or "").split()
    if not words:
        raise UsageError(f"--module: {path} is not a kernel module", "oomctl kfunc build makes one")
    if words[0] != release:
        raise UsageError(
            f"--module: {path} was built for {words[0]}, and the kernel is {release}",
            "build it for that kernel, or leave out --module",
        )
