"""Checks that an ELF file is not truncated: its section headers, which come last, are inside."""

import struct
from pathlib import Path

MAGIC = b"\x7fELF"
_HEADER = 64


def whole(path: Path) -> bool:
    """Return whether a file is an ELF file of 64 bits and not truncated."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
        return head[:4] == MAGIC and len(head) == _HEADER and path.stat().st_size >= _end(head)
    except OSError:
        return False


def _end(head: bytes) -> int:
    """Return the end of the section headers: e_shoff, e_shentsize, e_shnum of Elf64_Ehdr.

    Every kernel and module has some, so a file with offset 0 is not whole.
    """
    order = ">" if head[5] == 2 else "<"
    offset: int
    offset, size, count = (
        struct.unpack_from(f"{order}{form}", head, at)[0]
        for form, at in (("Q", 0x28), ("H", 0x3A), ("H", 0x3C))
    )
    return offset + size * count if offset else 1 << 63
