"""ELF files of 64 bits: whether one is truncated, its sections, and what a process loads of it."""

import struct
from pathlib import Path

MAGIC = b"\x7fELF"
_HEADER = 64
_PT_LOAD = 1


def whole(path: Path) -> bool:
    """Return whether a file is an ELF file of 64 bits and not truncated."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
        return head[:4] == MAGIC and len(head) == _HEADER and path.stat().st_size >= _end(head)
    except OSError:
        return False


def section(data: bytes, name: str) -> bytes | None:
    """Return the bytes of a section, None if there is none of that name or the file is malformed.

    The section headers have their names in the section whose index is e_shstrndx.
    """
    try:
        order, offset, size, count = _headers(data)
        (names,) = struct.unpack_from(f"{order}H", data, 0x3E)
        found = [
            struct.unpack_from(f"{order}I20xQQ", data, offset + size * at) for at in range(count)
        ]
        strings = found[names][1]
        for name_offset, start, length in found:
            end = data.index(b"\0", strings + name_offset)
            if data[strings + name_offset : end] == name.encode():
                return data[start : start + length]
    except (struct.error, IndexError, ValueError):
        pass
    return None


def loaded(data: bytes) -> bytes:
    """Return the beginning of a file that a process needs of it, without what is for debuggers.

    It is all but what follows the last segment of type PT_LOAD; other files are returned whole.
    """
    if data[:5] != MAGIC + b"\2":
        return data
    try:
        order = ">" if data[5] == 2 else "<"
        (start,) = struct.unpack_from(f"{order}Q", data, 0x20)
        size, count = struct.unpack_from(f"{order}HH", data, 0x36)
        segments = [
            struct.unpack_from(f"{order}I4xQ16xQ", data, start + size * at) for at in range(count)
        ]
    except (struct.error, IndexError):
        return data
    ends = (offset + length for kind, offset, length in segments if kind == _PT_LOAD)
    return data[: max(ends, default=len(data))]


def _end(head: bytes) -> int:
    """Return the end of the section headers.

    Every kernel and module has some, so a file with offset 0 is not whole.
    """
    _order, offset, size, count = _headers(head)
    return offset + size * count if offset else 1 << 63


def _headers(head: bytes) -> tuple[str, int, int, int]:
    """Return the byte order, and e_shoff, e_shentsize and e_shnum of Elf64_Ehdr."""
    order = ">" if head[5] == 2 else "<"
    (offset,) = struct.unpack_from(f"{order}Q", head, 0x28)
    size, count = struct.unpack_from(f"{order}HH", head, 0x3A)
    return order, offset, size, count
