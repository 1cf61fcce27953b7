"""The kernel that a guest boots: its image, its headers, and oomctl's module built for it."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from oomctl import cache, console, resources
from oomctl.bpf.btf import KFUNC
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import elf, kbuild, module
from oomctl.lab import architecture, image_content, kernel_image
from oomctl.lab.architecture import Architecture
from oomctl.oom.enums import KfuncPlace

_BUILD_SECONDS = 600.0
"""How long to wait for another oomctl that builds a module."""
_BUILD_SPACE = 16 << 20


@dataclass(frozen=True)
class Kernel:
    """A bootable kernel: `uname -r`, image, build folder, folder of its modules.

    `provides` tells whether it has the kfunc itself; None if nothing here tells, and the guest must
    look. `config` is {option without CONFIG_: value}; None if it was not found, `unread` says why.
    `btf` tells whether it has BTF, None if that is not known.
    """

    release: str
    image: Path
    headers: Path | None
    provides: bool | None
    modules: Path | None = None
    config: Mapping[str, str] | None = field(default=None, repr=False)
    btf: bool | None = None
    unread: str = ""
    architecture: Architecture = field(default_factory=architecture.native)

    @property
    def kfunc(self) -> KfuncPlace:
        """Where its kfunc is."""
        if self.provides:
            return KfuncPlace.BUILT_IN
        if self.headers is not None:
            return KfuncPlace.MODULE
        return KfuncPlace.UNKNOWN if self.provides is None else KfuncPlace.NONE


def given(path: Path) -> Kernel:
    """Return the kernel that `--kernel` names; UsageError if there is none that could boot."""
    try:
        return find(path)
    except UsageError as error:
        raise UsageError(f"--kernel: {error.why}", error.hint) from None


def find(path: Path) -> Kernel:
    """Find a kernel: an image, a build tree, or a folder of unpacked packages.

    UsageError if `path` has none, or its image is truncated.
    """
    path = path.absolute()
    if path.exists() and not path.is_dir():
        return _of_image(path)
    # Debian's packages have the image in boot/, from 6.19 on beside the modules.
    found = [tree for name in _tree_images() if (tree := path / name).is_file()][:1]
    found = found or sorted(path.glob("boot/vmlinu[xz]-*"))
    found = found or sorted(path.glob("lib/modules/*/vmlinu[xz]"))
    if not path.exists():
        raise UsageError(f"{path} does not exist", "give `stock`, a folder or an image")
    if len(found) != 1:
        raise UsageError(
            f"{path} contains {f'{len(found)} kernel images' if found else 'no kernel image'}",
            "give a build tree, a folder with boot/vmlinuz-RELEASE, or the image itself",
        )
    return _of_image(found[0])


@contextmanager
def in_use(kernel: Kernel) -> Iterator[bool]:
    """Prevent the removal of a kernel in the cache during the block, and note its use.

    Yields False if it was just removed.
    """
    kernels, image = cache.place("kernels").resolve(), kernel.image.resolve()
    if not image.is_relative_to(kernels):
        yield True
        return
    home = kernels / image.relative_to(kernels).parts[0]
    with cache.in_use(home) as there:
        if there:
            os.utime(home)
        yield there


def _of_image(image: Path) -> Kernel:
    root = next((image.parents[3] for name in _tree_images() if str(image).endswith(name)), None)
    if root is not None:
        built = kbuild.release_of(root)
        built = "" if built == kbuild.UNKNOWN else built
        release = kernel_image.release_of(image, built)
        release = built or release
        modules = _folder(root / "lib/modules" / release, Path("/lib/modules") / release)
        found = Kernel(release, image, root, _provides(root / "System.map", root), modules)
        return _with_content(found, [])
    above = image.parent.parent
    beside = above.name == "modules"
    release = kernel_image.release_of(image, image.parent.name if beside else "")
    modules = image.parent if beside else above / "lib/modules" / release
    symbols = image.parent / ("System.map" if beside else f"System.map-{release}")
    places = [parent / "usr/src" / f"linux-headers-{release}" for parent in image.parents]
    places += [modules / "build", Path("/lib/modules") / release / "build"]
    headers = next((place for place in places if (place / "Makefile").exists()), None)
    provides = _provides(symbols, headers)
    modules_there = _folder(modules, Path("/lib/modules") / release)
    found = Kernel(release, image, headers, provides, modules_there)
    return _with_content(found, [image.parent / f"config-{release}", modules / "config"])


def _tree_images() -> Iterator[str]:
    """Return the paths of images in build trees, this machine's architecture's first."""
    for each in (architecture.native(), *architecture.KNOWN):
        yield from each.images


def _with_content(kernel: Kernel, configs: list[Path]) -> Kernel:
    """Add the configuration from a file beside the image, from its headers, or from the image.

    Unpacking the image takes a second, so that is done only for what no file tells.
    """
    if kernel.headers is not None:
        configs += [kernel.headers / ".config", kernel.headers / "include/config/auto.conf"]
    config = next((found for path in configs if (found := _read_config(path))), None)
    kernel = replace(kernel, config=config, btf="DEBUG_INFO_BTF" in config if config else None)
    kernel = replace(kernel, architecture=kernel_image.architecture_of(kernel.image))
    if config and (kernel.provides is not None or kernel.headers is not None):
        return kernel
    try:
        content = image_content.read(kernel.image)
    except (image_content.UnreadableError, OSError) as error:
        return replace(kernel, unread=str(error))
    provides = content.kfunc if content.btf else None
    return replace(
        kernel,
        config=config or content.config,
        btf=content.btf,
        provides=provides if kernel.provides is None else kernel.provides,
        unread="" if config or content.config else "it has none in it (CONFIG_IKCONFIG)",
    )


def _folder(*places: Path) -> Path | None:
    return next((place for place in places if place.is_dir()), None)


def _read_config(path: Path) -> Mapping[str, str]:
    try:
        return kbuild.parse_config(path.read_text(errors="replace"))
    except OSError:
        return {}


def _provides(symbols: Path, headers: Path | None) -> bool | None:
    """Look into System.map, which is a stub in Debian's packages, else into the headers' BTF."""
    provides = kbuild.names(symbols, KFUNC)
    return kbuild.has_kfunc(headers, KFUNC) if provides is None and headers else provides


def module_for(kernel: Kernel) -> Path | None:
    """Build oomctl's module for a kernel, unless the cache has it from the same sources.

    None if the kernel has the kfunc itself, or may have it and there are no headers; then the guest
    must look. UnsupportedError if the module cannot be built.
    """
    if not _needs_module(kernel):
        return None
    if kernel.headers is None:
        raise UnsupportedError(
            f"kernel {kernel.release} has no bpf_out_of_memory() and no headers to build the "
            "module with",
            "unpack its headers beside it, or give the build tree",
        )
    built = _module_path(kernel)
    if not elf.whole(built):
        with cache.locked("modules", doing="building the module", patience=_BUILD_SECONDS):
            if not elf.whole(built):
                _build(kernel.headers, kernel.release, built)
    return built


@contextmanager
def module_in_use(kernel: Kernel) -> Iterator[Path | None]:
    """Yield module_for() of a kernel, and prevent its removal during the block."""
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
    """Tell whether module_for() would have nothing to build."""
    return not _needs_module(kernel) or elf.whole(_module_path(kernel))


def _needs_module(kernel: Kernel) -> bool:
    if kernel.provides is None:
        return kernel.headers is not None
    return not kernel.provides


def _module_path(kernel: Kernel) -> Path:
    key = hashlib.sha256(f"{kernel.image}\0{kernel.image.stat().st_mtime_ns}\0".encode())
    for source in sorted(resources.kernel_sources().iterdir()):
        if source.is_file():
            key.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = cache.folder("modules") / kernel.release / key.hexdigest()[:16]
    return folder / f"{module.MODULE}.ko"


def _build(headers: Path, release: str, built: Path) -> None:
    """Build it, then remove the unused modules of other sources or images."""
    console.progress(f"building the module for {release}")
    cache.require_space(_BUILD_SPACE, "building the module")
    with cache.scratch("module-") as folder:
        made = module.build(headers, folder / "module")
        built.parent.mkdir(parents=True, exist_ok=True)
        made.replace(built)
    for other in built.parent.parent.glob("*/"):
        if other != built.parent:
            cache.remove_unused(other)
