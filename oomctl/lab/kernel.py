"""A kernel on the host's disk: its image, its headers, and our module built for it."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oomctl import cache, console, resources
from oomctl.bpf.btf import KFUNC
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import elf, kbuild, module
from oomctl.lab import image as images

_TREE_IMAGE = {"x86_64": "arch/x86/boot/bzImage", "aarch64": "arch/arm64/boot/Image.gz"}
_BUILDING = 600.0
"""Seconds that building a module may take somebody else."""


@dataclass(frozen=True)
class Kernel:
    """A bootable kernel: `uname -r`, image, build folder, folder of its modules.

    `provides` tells whether it has the kfunc itself; None where neither its System.map nor the
    vmlinux of its headers tells: then the guest is asked.
    """

    release: str
    image: Path
    headers: Path | None
    provides: bool | None
    modules: Path | None = None


def given(path: Path) -> Kernel:
    """Take the kernel that `--kernel` names; UsageError when there is none that could boot."""
    try:
        return find(path)
    except UsageError as error:
        raise UsageError(f"--kernel: {error.why}", error.hint) from None


def find(path: Path) -> Kernel:
    """Find a kernel: an image, a build tree, or a folder of unpacked packages.

    UsageError when there is none at `path`, or one that is cut.
    """
    path = path.absolute()
    if path.is_file():
        return _at(path)
    tree = path / _TREE_IMAGE.get(platform.machine(), "arch/none")
    found = [tree] if tree.is_file() else _unpacked(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist", "give `stock`, a folder or an image")
    if len(found) != 1:
        raise UsageError(
            f"{path} holds {f'{len(found)} kernel images' if found else 'no kernel image'}",
            "give a build tree, a folder with boot/vmlinuz-RELEASE, or the image itself",
        )
    return _at(found[0])


@contextmanager
def in_use(kernel: Kernel) -> Iterator[bool]:
    """Keep a kernel from being removed for the block, if it is one of the cache's.

    Gives False where it was just removed.
    """
    kernels, image = cache.place("kernels").resolve(), kernel.image.resolve()
    if not image.is_relative_to(kernels):
        yield True
        return
    with cache.in_use(kernels / image.relative_to(kernels).parts[0]) as there:
        yield there


def _unpacked(root: Path) -> list[Path]:
    """Find the images: in boot/, else beside the modules, as in Debian's packages from 6.19 on."""
    return sorted(root.glob("boot/vmlinu[xz]-*")) or sorted(root.glob("lib/modules/*/vmlinu[xz]"))


def _at(image: Path) -> Kernel:
    tree = _TREE_IMAGE.get(platform.machine(), "")
    root = image.parents[tree.count("/")] if tree and str(image).endswith(tree) else None
    release = images.release_of(image)
    if root is not None:
        told = kbuild.release_of(root)
        release = release if told == kbuild.UNKNOWN else told
        return Kernel(release, image, root, _provides(root / "System.map", root))
    above = image.parent.parent
    beside = above.name == "modules"
    modules = image.parent if beside else above / "lib/modules" / release
    symbols = image.parent / ("System.map" if beside else f"System.map-{release}")
    places = [parent / "usr/src" / f"linux-headers-{release}" for parent in image.parents]
    places += [modules / "build", Path("/lib/modules") / release / "build"]
    headers = next((place for place in places if (place / "Makefile").exists()), None)
    provides = _provides(symbols, headers)
    return Kernel(release, image, headers, provides, modules if modules.is_dir() else None)


def _provides(symbols: Path, headers: Path | None) -> bool | None:
    """Ask the System.map, which is a stub in Debian's packages, else the BTF in the headers."""
    told = kbuild.names(symbols, KFUNC)
    return kbuild.has_kfunc(headers, KFUNC) if told is None and headers else told


def module_for(kernel: Kernel) -> Path | None:
    """Build our module for a kernel unless these very sources were built already.

    None when the kernel has the kfunc itself, or may have and there are no headers; then the guest
    is to be asked. UnsupportedError when it cannot be built.
    """
    if not _needs_module(kernel):
        return None
    if kernel.headers is None:
        raise UnsupportedError(
            f"kernel {kernel.release} has no bpf_out_of_memory and no headers to build it with",
            "unpack its headers beside it, or give the build tree",
        )
    built = _built(kernel)
    if not elf.whole(built):
        with cache.locked("modules", doing="building the module", patience=_BUILDING):
            if not elf.whole(built):
                _build(kernel.headers, kernel.release, built)
    return built


@contextmanager
def module_in_use(kernel: Kernel) -> Iterator[Path | None]:
    """Give module_for() of a kernel, and keep it from being removed for the block."""
    while True:
        built = module_for(kernel)
        if built is None:
            yield None
            return
        with cache.in_use(built.parent) as there:
            if there:
                yield built
                return


def built(kernel: Kernel) -> bool:
    """Tell whether module_for() would have nothing to do."""
    return not _needs_module(kernel) or elf.whole(_built(kernel))


def _needs_module(kernel: Kernel) -> bool:
    if kernel.provides is None:
        return kernel.headers is not None
    return not kernel.provides


def _built(kernel: Kernel) -> Path:
    key = hashlib.sha256(f"{kernel.image}\0{kernel.image.stat().st_mtime_ns}\0".encode())
    for source in sorted(resources.kernel_sources().iterdir()):
        if source.is_file():
            key.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = cache.folder("modules") / kernel.release / key.hexdigest()[:16]
    return folder / f"{module.MODULE}.ko"


def _build(headers: Path, release: str, built: Path) -> None:
    """Build it, then remove those of other sources or images that nobody uses."""
    console.progress(f"building the module for {release}")
    with cache.scratch("module-") as folder:
        made = module.build(headers, folder / "module")
        built.parent.mkdir(parents=True, exist_ok=True)
        made.replace(built)
    for other in built.parent.parent.glob("*/"):
        if other != built.parent:
            cache.remove_unused(other)
