"""The kernels in the cache: what they are, how big, when they were last used; their removal."""

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from oomctl import cache
from oomctl.errors import OomctlError, UsageError
from oomctl.files.digest import sha256
from oomctl.lab import guest_kernel
from oomctl.lab.guest_kernel import Kernel
from oomctl.oom.enums import KfuncPlace

STAMP = "kernel.json"
BOOT_MODULES = ("fs/9p", "fs/netfs", "fs/overlayfs", "net/9p", "drivers/virtio")
"""The folders of the modules without which a guest has no root."""
_CHECKED = (
    "boot/vmlinu*",
    "lib/modules/*/vmlinu*",
    "lib/modules/*/modules.dep",
    *(f"lib/modules/*/kernel/{folder}/*" for folder in (*BOOT_MODULES, "fs/ext4")),
    "lib/modules/*/kernel/drivers/block/virtio_blk*",
)
"""The files of a kernel that are checked before each use, by their hashes."""


class Flavour(StrEnum):
    """Where a kernel in the cache comes from, or how it was built."""

    STOCK = "stock"
    """Debian's newest that works here."""
    DEBIAN = "debian"
    """Debian's, asked for by its version."""
    PACKAGE = "package"
    """Of a package that the user has."""
    PLAIN = "plain"
    """Built by `oomctl lab build`, without debugging."""
    LOCKDEP = "lockdep"
    """Built with CONFIG_PROVE_LOCKING."""
    KASAN = "kasan"
    """Built with CONFIG_KASAN and CONFIG_UBSAN."""
    OBJECTS = "objects"
    """No kernel: source and objects of builds, from which the next one goes on."""


BUILT = (Flavour.PLAIN, Flavour.LOCKDEP, Flavour.KASAN)


@dataclass(frozen=True)
class CachedKernel:
    """A kernel in the cache: size in bytes, last use in seconds since the Epoch.

    `release` and `kfunc` are None if it is damaged, and `damage` says how, or if it has objects.
    """

    name: str
    flavour: Flavour
    size: int
    last_used: float
    in_use: bool
    release: str | None = None
    kfunc: KfuncPlace | None = None
    damage: str = ""


def stamp(home: Path, flavour: Flavour, seconds: float = 0) -> None:
    """Write down what a kernel is, in what time it was built, and what its files are."""
    found = {"flavour": flavour, "made": time.time(), "seconds": round(seconds, 1)}
    files = {str(file.relative_to(home)): sha256(file) for file in _checked(home)}
    (home / STAMP).write_text(json.dumps({**found, "files": files}))


def damage(home: Path) -> str:
    """Return which file of a kernel is not the one that was put there; "" if all are."""
    try:
        files = json.loads((home / STAMP).read_text())["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # of an older oomctl
    for name, known in files:
        file = home / name
        if not file.is_file():
            return f"{file} is missing"
        if sha256(file) != known:
            return f"{file} has changed"
    return ""


def flavour_of(home: Path) -> Flavour:
    """Return the flavour of a kernel; those without a stamp were fetched as stock kernels."""
    return Flavour(_stamp_of(home).get("flavour", Flavour.STOCK))


def home(*parts: str) -> Path:
    """Return the place of a kernel in the cache."""
    return cache.place("kernels", *parts)


def find(name: str) -> Kernel | None:
    """Return the kernel of that name; None if the cache has none that is whole."""
    place = home(name)
    if "/" in name or not place.is_dir():
        return None
    try:
        return None if damage(place) else guest_kernel.find(place)
    except UsageError:
        return None


def reference() -> Kernel | None:
    """Return the newest plain kernel that was built here."""
    built = [place for place in home().glob("*/") if flavour_of(place) == Flavour.PLAIN]
    for place in sorted(built, key=lambda place: _stamp_of(place)["made"], reverse=True):
        if found := find(place.name):
            return found
    return None


def names() -> list[str]:
    """Return the names of the kernels, and of the folders with objects."""
    return sorted(place.name for place in _places())


def kernels() -> list[CachedKernel]:
    """Return what is in the cache, most recently used first."""
    return sorted(map(_described, _places()), key=lambda each: -each.last_used)


def remove(name: str) -> None:
    """Remove a kernel or a folder with objects; OomctlError if another oomctl uses it."""
    for place in _places():
        if place.name == name and not cache.remove_unused(place):
            raise OomctlError(f"another oomctl uses {name}", "end it first")


def _places() -> list[Path]:
    return [*home().glob("*/"), *cache.place("builds").glob("*/")]


def _described(place: Path) -> CachedKernel:
    release, kfunc = None, None
    is_kernel = place.parent == home()
    damaged = damage(place)
    try:
        kernel = guest_kernel.find(place) if is_kernel else None
        if kernel and not damaged:
            release, kfunc = kernel.release, kernel.kfunc
    except UsageError as error:
        damaged = error.why
    return CachedKernel(
        name=place.name,
        flavour=flavour_of(place) if is_kernel else Flavour.OBJECTS,
        size=_size(place),
        last_used=place.stat().st_mtime,
        in_use=cache.is_in_use(place),
        release=release,
        kfunc=kfunc,
        damage=damaged,
    )


def _checked(home: Path) -> list[Path]:
    return [file for pattern in _CHECKED for file in home.glob(pattern) if file.is_file()]


def _size(place: Path) -> int:
    """Return the bytes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in place.rglob("*"))


def _stamp_of(place: Path) -> dict[str, Any]:
    try:
        found = json.loads((place / STAMP).read_text())
        return {"flavour": Flavour(found["flavour"]), "made": float(found["made"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
