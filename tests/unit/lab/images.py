"""Kernel images as they are made by arch/x86/boot: a header, and a compressed vmlinux."""

import gzip
import os
import shutil
import subprocess

from oomctl.bpf.btf import KFUNC
from tests.elf import elf_with

RELEASE = "6.12.95+deb12-amd64"

FIT = """
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_9P_FS=m
CONFIG_NET_9P_VIRTIO=m
CONFIG_OVERLAY_FS=m
CONFIG_TMPFS=y
CONFIG_DEVTMPFS=y
CONFIG_MEMCG=y
CONFIG_BPF_SYSCALL=y
CONFIG_BPF_JIT=y
CONFIG_DEBUG_INFO_BTF=y
"""
"""The configuration of a kernel that is fit for a guest, as Debian has it."""
BUILT_IN = FIT.replace("=m", "=y")


def bzimage(path, release=RELEASE, pages=0, payload=b""):
    """Write an x86 image with its size, release (None: without a release) and payload."""
    head = bytearray(0x4000)
    head[0x1F1] = 0x1F
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = (0x20F).to_bytes(2, "little")
    if release is not None:
        head[0x20E:0x210] = (0x3000).to_bytes(2, "little")
        text = release if isinstance(release, bytes) else release.encode()
        text += b" (builder@host) #1 SMP\0"
        head[0x3200 : 0x3200 + len(text)] = text
    head[0x24C:0x250] = len(payload).to_bytes(4, "little")
    size = max(pages << 12, len(payload) + -len(payload) % 16)
    head[0x1F4:0x1F8] = (size >> 4).to_bytes(4, "little")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + payload)
    os.truncate(path, 0x4000 + size)
    return path


def vmlinux(config=BUILT_IN, btf=True, kfunc=True):
    """Return a vmlinux with a configuration (None: without), BTF, and the kfunc in it."""
    sections = {}
    if btf:
        sections["BTF"] = b"\0out_of_memory\0" + (KFUNC.encode() + b"\0" if kfunc else b"")
    if config is not None:
        sections["rodata"] = b"IKCFG_ST" + gzip.compress(config.encode()) + b"IKCFG_ED"
    return elf_with(**sections)


def compressed(data, program):
    """Compress as the kernel's build does: other than gzip's, the size is appended."""
    if program == "gzip":
        return gzip.compress(data)
    words = {"lz4": ["lz4", "-l", "-9"], "bzip2": ["bzip2"]}.get(program, [program])
    done = subprocess.run([*words, "-c"], input=data, capture_output=True, check=True)
    return done.stdout + len(data).to_bytes(4, "little")


def has(program):
    return program == "gzip" or shutil.which(program) is not None
