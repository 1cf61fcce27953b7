"""A kernel image: whether it is one and whole, as far as its header tells, and its release."""

import platform
import re
from pathlib import Path

from oomctl.errors import UsageError
from oomctl.kmod import elf
from oomctl.kmod.kbuild import is_release

_HEAD = 0x200 + 0xFFFF + 256
"""Bytes up to the end of the text that the header's 16 bits of kernel_version point to."""
_SLACK = 512
_OTHERS = (b"\x1f\x8b", b"MZ")
"""How images of other machines begin: gzip, and what is an EFI program too."""


def release_of(image: Path) -> str:
    """Read `uname -r` from an x86 image's header, else from its name.

    Raises UsageError for what is no image of a kernel, or not a whole one.
    """
    if not image.is_file():  # to open a pipe would wait for its writer
        raise _none(image, "it is not a regular file")
    with image.open("rb") as file:
        head = file.read(_HEAD)
    size = image.stat().st_size
    if head[0x202:0x206] == b"HdrS":
        _require_whole(image, size, _end(head))
        return _version(image, head) or _named(image)
    if head[:4] == elf.MAGIC and not elf.whole(image):
        raise UsageError(f"{image} is cut: its section headers are missing", "copy it again")
    if head[:4] == elf.MAGIC or (platform.machine() != "x86_64" and head[:2] in _OTHERS):
        return _named(image)
    raise _none(image, "it is empty" if not size else "it has no header of one")


def _end(head: bytes) -> int:
    """Return the size that the header tells: setup_sects sectors after the first, then syssize.

    Documentation/arch/x86/boot.rst; a signature may come after that.
    """
    sectors = head[0x1F1] or 4
    return (sectors + 1) * 512 + int.from_bytes(head[0x1F4:0x1F8], "little") * 16


def _version(image: Path, head: bytes) -> str:
    """Return the release in the header; "" where that has none (kernel_version is 0)."""
    start = int.from_bytes(head[0x20E:0x210], "little")
    text = head[start + 0x200 :].split(b"\0")[0].split(b" ")[0].decode("ascii", "replace")
    if start and not is_release(text):
        raise _none(image, f"its version is {text[:64]!r}")
    return text if start else ""


def _named(image: Path) -> str:
    named = re.fullmatch(r"(?:vmlinu[xz]|Image)-(.+)", image.name)
    if named is None or not is_release(named[1]):
        raise _none(image, "neither its header nor its name tells its release")
    return named[1]


def _require_whole(image: Path, size: int, end: int) -> None:
    if size < end - _SLACK:
        raise UsageError(
            f"{image} is cut: it has {size} bytes, by its header there are {end}", "copy it again"
        )


def _none(image: Path, why: str) -> UsageError:
    return UsageError(f"{image} is not a bootable kernel image: {why}", "give a bzImage")
