"""A kernel image: its release, and whether it is complete as far as its header tells."""

import re
import struct
from pathlib import Path

from oomctl.errors import UsageError
from oomctl.kmod import elf
from oomctl.kmod.kbuild import is_release
from oomctl.lab import architecture
from oomctl.lab.architecture import ARM, X86, Architecture

_HEAD = 0x200 + 0xFFFF + 256
"""Bytes up to the end of the text that the header's 16 bits of kernel_version point to."""
_SLACK = 512
_GZIP, _EFI, _EFI_ZBOOT = b"\x1f\x8b", b"MZ", b"zimg"
_ELF_MACHINES = {62: X86, 183: ARM}
"""By e_machine (include/uapi/linux/elf-em.h)."""


def architecture_of(image: Path) -> Architecture:
    """Return the architecture for which an image is; this machine's if its header does not tell."""
    with image.open("rb") as file:
        return _architecture(file.read(_HEAD)) or architecture.native()


def _architecture(head: bytes) -> Architecture | None:
    """Tell an architecture by an image's first bytes; None if they are not those of an image.

    Documentation/arch/arm64/booting.rst has the magic of an arm64 Image. It and others may be
    compressed, by gzip or as an EFI program (drivers/firmware/efi/libstub/zboot-header.S), which
    those of x86 never are.
    """
    native = architecture.native()
    if head[:4] == elf.MAGIC:
        return _ELF_MACHINES.get(int.from_bytes(head[0x12:0x14], "little"), native)
    if head[0x202:0x206] == b"HdrS":
        return X86
    if head[0x38:0x3C] == b"ARM\x64":
        return ARM
    if head[:2] == _GZIP or head[4:8] == _EFI_ZBOOT:
        return ARM if native is X86 else native
    return native if head[:2] == _EFI and native is not X86 else None


def release_of(image: Path, beside: str = "") -> str:
    """Read `uname -r` from an x86 image's header, else take `beside`, else read it from its name.

    UsageError if the file is not a kernel image, or is truncated.
    """
    if not image.is_file():  # opening a pipe would wait for its writer
        raise _not_bootable(image, "it is not a regular file")
    with image.open("rb") as file:
        head = file.read(_HEAD)
    size = image.stat().st_size
    is_x86 = head[0x202:0x206] == b"HdrS"
    end, slack = (_end(head), _SLACK) if is_x86 else (_efi_end(head), 0)
    if size < end - slack:
        why = f"it has {size} bytes, its header says {end}"
        raise UsageError(f"{image} is truncated: {why}", "copy it again")
    if is_x86:
        return _header_release(image, head) or beside or _name_release(image)
    if head[:4] == elf.MAGIC and not elf.whole(image):
        raise UsageError(f"{image} is truncated: its section headers are missing", "copy it again")
    if _architecture(head):
        return beside or _name_release(image)
    raise _not_bootable(image, "it has no kernel header" if size else "it is empty")


def _end(head: bytes) -> int:
    """Return the size in the header: setup_sects sectors after the first, then syssize.

    Documentation/arch/x86/boot.rst; a signature may follow.
    """
    sectors = head[0x1F1] or 4
    return (sectors + 1) * 512 + int.from_bytes(head[0x1F4:0x1F8], "little") * 16


def _efi_end(head: bytes) -> int:
    """Return where the last section of an EFI program ends, 0 if it is none.

    Section headers (struct section_header in include/linux/pe.h) follow the optional header.
    """
    start = int.from_bytes(head[0x3C:0x40], "little")
    if head[:2] != _EFI or head[start : start + 4] != b"PE\0\0":
        return 0
    count, optional = (int.from_bytes(head[start + at :][:2], "little") for at in (6, 20))
    table = head[start + 24 + optional :][: 40 * count]
    sections = struct.iter_unpack("<16xII16x", table[: len(table) // 40 * 40])
    return max((size + offset for size, offset in sections), default=0)


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
