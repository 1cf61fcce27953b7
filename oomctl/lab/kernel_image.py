"""A kernel image: its release, and whether it is complete as far as its header tells."""

import platform
import re
from pathlib import Path

from oomctl.errors import UsageError
from oomctl.kmod import elf
from oomctl.kmod.kbuild import is_release

_HEAD = 0x200 + 0xFFFF + 256
"""Bytes up to the end of the text that the header's 16 bits of kernel_version point to."""
_SLACK = 512
_OTHER_MAGIC = (b"\x1f\x8b", b"MZ")
"""First bytes of images of other architectures: gzip, and an EFI program."""


def release_of(image: Path) -> str:
    """Read `uname -r` from an x86 image's header, else from its name.

    UsageError if the file is not a kernel image, or is truncated.
    """
    if not image.is_file():  # opening a pipe would wait for its writer
        raise _not_bootable(image, "it is not a regular file")
    with image.open("rb") as file:
        head = file.read(_HEAD)
    size = image.stat().st_size
    if head[0x202:0x206] == b"HdrS":
        if size < (end := _end(head)) - _SLACK:
            why = f"it has {size} bytes, its header says {end}"
            raise UsageError(f"{image} is truncated: {why}", "copy it again")
        return _header_release(image, head) or _name_release(image)
    if head[:4] == elf.MAGIC and not elf.whole(image):
        raise UsageError(f"{image} is truncated: its section headers are missing", "copy it again")
    other = platform.machine() != "x86_64" and head[:2] in _OTHER_MAGIC
    if head[:4] == elf.MAGIC or other:
        return _name_release(image)
    raise _not_bootable(image, "it has no kernel header" if size else "it is empty")


def _end(head: bytes) -> int:
    """Return the size in the header: setup_sects sectors after the first, then syssize.

    Documentation/arch/x86/boot.rst; a signature may follow.
    """
    sectors = head[0x1F1] or 4
    return (sectors + 1) * 512 + int.from_bytes(head[0x1F4:0x1F8], "little") * 16


def _header_release(image: Path, head: bytes) -> str:
    """Return the release in the header; "" if there is none (kernel_version is 0)."""
    start = int.from_bytes(head[0x20E:0x210], "little")
    text = head[start + 0x200 :].split(b"\0")[0].split(b" ")[0].decode("ascii", "replace")
    if start and not is_release(text):
        raise _not_bootable(image, f"its version is {text[:64]!r}")
    return text if start else ""


def _name_release(image: Path) -> str:
    name = re.fullmatch(r"(?:vmlinu[xz]|Image)-(.+)", image.name)
    if name is None or not is_release(name[1]):
        raise _not_bootable(image, "its release is neither in its header nor in its name")
    return name[1]


def _not_bootable(image: Path, why: str) -> UsageError:
    return UsageError(f"{image} is not a bootable kernel image: {why}", "give a bzImage")
