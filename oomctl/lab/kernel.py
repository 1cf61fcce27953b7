"""A kernel on the host's disk: its image, its headers, and our module built for it."""

import hashlib
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from oomctl import cache, resources, talk
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import module

_TREE_IMAGE = {"x86_64": "arch/x86/boot/bzImage", "aarch64": "arch/arm64/boot/Image.gz"}


@dataclass(frozen=True)
class Kernel:
    """A bootable kernel: `uname -r`, image, build folder, folder of its modules.

    `provides` tells whether it has the kfunc itself; None where no System.map tells.
    """

    release: str
    image: Path
    headers: Path | None
    provides: bool | None
    modules: Path | None = None


def given(path: Path) -> Kernel:
    """Take a kernel of the user's: an image, a build tree, or a folder of unpacked packages.

    UsageError when there is no kernel at `path`.
    """
    path = path.absolute()
    if path.is_file():
        return _at(path)
    tree = path / _TREE_IMAGE.get(platform.machine(), "arch/none")
    images = [tree] if tree.is_file() else _unpacked(path)
    if not path.exists():
        raise UsageError(f"--kernel: {path} does not exist", "give `stock`, a folder or an image")
    if len(images) != 1:
        found = f"{len(images)} kernel images" if images else "no kernel image"
        raise UsageError(
            f"--kernel: {path} holds {found}",
            "give a build tree, a folder with boot/vmlinuz-RELEASE, or the image itself",
        )
    return _at(images[0])


def _unpacked(root: Path) -> list[Path]:
    """Find the images: in boot/, else beside the modules, as in Debian's packages from 6.19 on."""
    return sorted(root.glob("boot/vmlinu[xz]-*")) or sorted(root.glob("lib/modules/*/vmlinu[xz]"))


def _at(image: Path) -> Kernel:
    tree = _TREE_IMAGE.get(platform.machine(), "")
    root = image.parents[tree.count("/")] if tree and str(image).endswith(tree) else None
    if root is not None:
        release = _first_line(root / "include/config/kernel.release") or _release(image)
        return Kernel(release, image, root, _provides(root / "System.map"))
    release = _release(image)
    above = image.parent.parent
    beside = above.name == "modules"
    modules = image.parent if beside else above / "lib/modules" / release
    symbols = image.parent / ("System.map" if beside else f"System.map-{release}")
    places = [parent / "usr/src" / f"linux-headers-{release}" for parent in image.parents]
    places += [modules / "build", Path("/lib/modules") / release / "build"]
    return Kernel(
        release,
        image,
        next((place for place in places if (place / "Makefile").exists()), None),
        _provides(symbols),
        modules if modules.is_dir() else None,
    )


def _release(image: Path) -> str:
    """Read `uname -r` from an x86 image's header, else from its name."""
    head = image.read_bytes()[:0x8000]
    # Documentation/arch/x86/boot.rst: kernel_version is at 0x20e, counted from 0x200.
    if head[0x202:0x206] == b"HdrS":
        start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
        return head[start:].split(b"\0")[0].split(b" ")[0].decode()
    named = re.fullmatch(r"(?:vmlinu[xz]|Image)-(.+)", image.name)
    if named is None:
        raise UsageError(f"--kernel: {image} is not a bootable kernel image", "give a bzImage")
    return named[1]


def _provides(symbols: Path) -> bool | None:
    try:
        return b" bpf_out_of_memory\n" in symbols.read_bytes()
    except OSError:
        return None


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def module_for(kernel: Kernel) -> Path | None:
    """Build our module for a kernel unless these very sources were built already.

    None when the kernel has the kfunc itself; UnsupportedError when it cannot be built.
    """
    if kernel.provides:
        return None
    if kernel.headers is None:
        raise UnsupportedError(
            f"kernel {kernel.release} has no bpf_out_of_memory and no headers to build it with",
            "unpack its headers beside it, or give the build tree",
        )
    built = _built(kernel)
    if not built.exists():
        with cache.locked("modules"):
            if not built.exists():
                _build(kernel.headers, kernel.release, built)
    return built


def built(kernel: Kernel) -> bool:
    """Tell whether module_for() would have nothing to do."""
    return bool(kernel.provides) or _built(kernel).exists()


def _built(kernel: Kernel) -> Path:
    key = hashlib.sha256(f"{kernel.image}\0{kernel.image.stat().st_mtime_ns}\0".encode())
    for source in sorted(resources.kernel_sources().iterdir()):
        if source.is_file():
            key.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = cache.folder("modules") / kernel.release / key.hexdigest()[:16]
    return folder / f"{module.MODULE}.ko"


def _build(headers: Path, release: str, built: Path) -> None:
    talk.progress(f"building the module for {release}")
    shutil.rmtree(built.parent.parent, ignore_errors=True)
    built.parent.parent.mkdir(parents=True)
    with cache.scratch("module-") as folder:
        module.build(headers, folder / "module")
        (folder / "module").replace(built.parent)
