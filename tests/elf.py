"""A file as whole as an ELF file is."""

import struct


def elf_file(text=""):
    """Return its bytes, with a text in it."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 0x28, 64 + len(text))
    struct.pack_into("<HH", head, 0x3A, 64, 2)
    return bytes(head) + text.encode() + b"\0" * 128


def elf_with(**sections):
    """Return the bytes of an ELF file with these sections, by their names without the dot."""
    names = b"\0" + b"".join(b"." + name.encode() + b"\0" for name in sections) + b".shstrtab\0"
    bodies = [*sections.values(), names]
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    headers, data, at = [b"\0" * 64], b"", 1
    for name, body in zip([*sections, "shstrtab"], bodies, strict=True):
        headers.append(struct.pack("<I20xQQ24x", at, 64 + len(data), len(body)))
        data += body
        at += len(name) + 2
    struct.pack_into("<Q", head, 0x28, 64 + len(data))
    struct.pack_into("<HHH", head, 0x3A, 64, len(headers), len(headers) - 1)
    return bytes(head) + data + b"".join(headers)


def module_file(vermagic):
    """Return the bytes of a module that was built for a kernel."""
    text = f"license=GPL\0vermagic={vermagic} SMP preempt mod_unload modversions \0"
    return elf_with(modinfo=text.encode())
