"""Whether a kernel can do what the lab asks of it, told by its configuration, before a boot."""

import re
from collections.abc import Iterator
from pathlib import Path

from oomctl.errors import UnsupportedError
from oomctl.kmod import elf, modinfo, module
from oomctl.lab.guest_kernel import Kernel

_MACHINE = {
    "its machine": ("VIRTIO_PCI", "VIRTIO_CONSOLE", "BLK_DEV_INITRD"),
    "this machine's files": ("9P_FS", "NET_9P_VIRTIO", "OVERLAY_FS", "TMPFS", "DEVTMPFS"),
    "memory cgroups": ("MEMCG",),
}
"""What a guest needs, and the options of the kernel for it."""
_KFUNC = {"BPF programs": ("BPF_SYSCALL", "BPF_JIT"), "the kfunc": ("DEBUG_INFO_BTF",)}
"""What bpf_out_of_memory() needs besides."""


def require(kernel: Kernel, kfunc: bool, given: Path | None = None) -> None:
    """Raise UnsupportedError if a kernel is not fit for a guest; with `kfunc` also for the kfunc.

    `given` is a module for the kfunc that the user has; UsageError if it is for another kernel.
    What is not known is not held against the kernel.
    """
    if given is not None:
        modinfo.require_for(given, kernel.release)
    needs = _MACHINE | (_KFUNC if kfunc else {})
    lacks = [
        f"{', '.join(f'CONFIG_{each}' for each in missing)} (for {purpose})"
        for purpose, options in needs.items()
        if (missing := [*_missing(kernel, options)])
    ]
    name = f"the kernel {kernel.release} ({kernel.image})"
    if lacks:
        raise UnsupportedError(
            f"{name} is built without {', '.join(lacks)}", "turn that on and build it again"
        )
    images = kernel.architecture.images
    if images and kernel.config and "PVH" not in kernel.config and _is_elf(kernel.image):
        raise UnsupportedError(
            f"{name} is a vmlinux built without CONFIG_PVH, which QEMU cannot boot",
            f"give {images[0]} of its build tree",
        )
    if apart := [*_apart(kernel, needs)]:
        raise UnsupportedError(
            f"{name} has {', '.join(apart)} in modules, and there are no modules beside it",
            f"put them into lib/modules/{kernel.release} beside its image, or build them in",
        )
    if kfunc and kernel.btf is False:
        raise UnsupportedError(
            f"{name} has no BTF, by which programs find the kfunc",
            "build it with CONFIG_DEBUG_INFO_BTF=y and pahole",
        )
    if kfunc and given is None and not kernel.provides and _older(kernel.release, module.OLDEST):
        raise UnsupportedError(
            f"{name} is too old: it has no bpf_out_of_memory(), and {module.OLDEST} is the oldest "
            "that the module works on",
            "give a newer kernel, or one with the kfunc built in",
        )


def unknown(kernel: Kernel) -> str:
    """Return why the fitness is not known, "" if it is."""
    if not kernel.unread:
        return ""
    return f"cannot read the configuration of {kernel.image}: {kernel.unread}"


def _is_elf(image: Path) -> bool:
    try:
        with image.open("rb") as file:
            return file.read(4) == elf.MAGIC
    except OSError:
        return False


def _missing(kernel: Kernel, options: tuple[str, ...]) -> Iterator[str]:
    if kernel.config is not None:
        yield from (each for each in options if kernel.config.get(each) not in ("y", "m"))


def _apart(kernel: Kernel, needs: dict[str, tuple[str, ...]]) -> Iterator[str]:
    if kernel.config is not None and kernel.modules is None:
        for options in needs.values():
            yield from (f"CONFIG_{e}" for e in options if kernel.config.get(e) == "m")


def _older(release: str, oldest: str) -> bool:
    numbers = [re.search(r"(\d+)\.(\d+)", text) for text in (release, oldest)]
    if numbers[0] is None or numbers[1] is None:
        return False
    return [*map(int, numbers[0].groups())] < [*map(int, numbers[1].groups())]
