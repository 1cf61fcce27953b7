"""What is in a kernel image: its configuration, its BTF, the kfunc."""

import bz2
import gzip
import lzma
import subprocess
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oomctl.bpf.btf import KFUNC
from oomctl.kmod import elf, kbuild
from oomctl.proc import programs

_CONFIG_BEGIN, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
_LARGEST = 1 << 30
"""Bytes of an unpacked kernel, so that a hostile image does not fill this machine's memory."""
_SECONDS = 60.0


class UnreadableError(Exception):
    """The image cannot be read; the text says why."""


@dataclass(frozen=True)
class Content:
    """The configuration (None if CONFIG_IKCONFIG is not y), BTF at all, and the kfunc in it."""

    config: Mapping[str, str] | None
    btf: bool
    kfunc: bool


def read(image: Path) -> Content:
    """Read what a bzImage or a vmlinux contains; UnreadableError if it cannot be unpacked."""
    kernel = unpacked(image.read_bytes())
    types = elf.section(kernel, ".BTF")
    return Content(config_in(kernel), types is not None, _has_kfunc(types or b""))


def unpacked(image: bytes) -> bytes:
    """Return the vmlinux in a bzImage, or a vmlinux as it is.

    The payload of a bzImage begins payload_offset bytes after the setup code
    (Documentation/arch/x86/boot.rst).
    """
    if image[:4] == elf.MAGIC:
        return image
    if image[0x202:0x206] != b"HdrS" or int.from_bytes(image[0x206:0x208], "little") < 0x208:
        raise UnreadableError("it is not a bzImage of boot protocol 2.08 or later")
    start = ((image[0x1F1] or 4) + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    length = int.from_bytes(image[0x24C:0x250], "little")
    return _uncompressed(image[start : start + length])


def config_in(kernel: bytes) -> Mapping[str, str] | None:
    """Return the configuration in a vmlinux (kernel/configs.c), None if it has none."""
    start = kernel.find(_CONFIG_BEGIN)
    end = kernel.find(_CONFIG_END, start)
    if start < 0 or end < 0:
        return None
    try:
        text = gzip.decompress(kernel[start + len(_CONFIG_BEGIN) : end])
    except _DAMAGED:
        return None
    return kbuild.parse_config(text.decode(errors="replace"))


def _has_kfunc(types: bytes) -> bool:
    return b"\0" + KFUNC.encode() + b"\0" in types


def _uncompressed(payload: bytes) -> bytes:
    for magic, unpack in _METHODS.items():
        if payload.startswith(magic):
            try:
                return unpack(payload)
            except (*_DAMAGED, subprocess.SubprocessError) as error:
                raise UnreadableError(f"its compressed kernel is damaged: {error}") from None
    raise UnreadableError("its kernel is compressed by an unknown method")


def _with(make: Callable[[], Any]) -> Callable[[bytes], bytes]:
    """Return a method that is one of Python's.

    Other than gzip's, the payload has four bytes after its end, the size of the kernel
    (scripts/Makefile.lib, size_append), of which such a decompressor takes no notice.
    """

    def unpack(payload: bytes) -> bytes:
        decompressor = make()
        data: bytes = decompressor.decompress(payload, _LARGEST)
        if not decompressor.eof:
            raise ValueError("it is cut, or larger than 1 GiB")
        return data

    return unpack


def _by(program: str, package: str) -> Callable[[bytes], bytes]:
    """Return a method that is a program of Debian, since Python has none."""

    def unpack(payload: bytes) -> bytes:
        path = programs.which(program)
        if path is None:
            raise UnreadableError(f"{program} is not on this machine (apt install {package})")
        done = subprocess.run(
            [path, "-dc"], input=payload[:-4], capture_output=True, check=False, timeout=_SECONDS
        )
        if not done.stdout:
            raise ValueError(done.stderr.decode(errors="replace").strip() or "nothing in it")
        return done.stdout

    return unpack


_METHODS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": _with(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    b"\xfd7zXZ\0": _with(lzma.LZMADecompressor),
    b"\x5d\0\0": _with(lzma.LZMADecompressor),
    b"BZh": _with(bz2.BZ2Decompressor),
    b"\x28\xb5\x2f\xfd": _by("zstd", "zstd"),
    b"\x02\x21\x4c\x18": _by("lz4", "lz4"),
    b"\x89LZO": _by("lzop", "lzop"),
}
"""How a payload is unpacked, by its first bytes."""
