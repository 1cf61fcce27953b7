"""A file as whole as an ELF file is."""

import struct


def elf_file(text=""):
    """Return its bytes, with a text in it."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 0x28, 64 + len(text))
    struct.pack_into("<HH", head, 0x3A, 64, 2)
    return bytes(head) + text.encode() + b"\0" * 128
