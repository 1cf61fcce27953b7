"""Unpacks a kernel's packages into a folder of the cache, which has its name only when complete."""

import lzma
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from oomctl import cache, console
from oomctl.errors import OomctlError
from oomctl.lab import cached, guest_kernel
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.proc import programs


def unpack(
    packages: Callable[[Path], Sequence[Path]], release: str, home: Path, flavour: Flavour
) -> Kernel:
    """Unpack packages into `home`; `packages` is given a folder to fetch them into.

    A damaged folder of that name is removed first; OomctlError if another oomctl uses it.
    """
    remove_damaged(home)
    with cache.scratch("new-") as folder:
        root = folder / "root"
        root.mkdir()
        found = packages(folder)
        console.progress(f"unpacking {release}")
        for package in found:
            run("dpkg", "-x", str(package), str(root))
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        relocate(root / "usr/src", home / "usr/src")
        _expand(root / "lib/modules" / release / "kernel")
        run("depmod", "-b", str(root), release)
        cached.stamp(root, flavour)
        root.rename(home)
    return guest_kernel.find(home)


def remove_damaged(home: Path) -> None:
    """Remove a damaged kernel; OomctlError if another oomctl uses it."""
    if not cache.remove_unused(home):
        raise OomctlError(f"{home} is damaged, and another oomctl uses it", "end that oomctl first")


def relocate(sources: Path, final: Path) -> None:
    """Change the absolute paths in unpacked headers, which are those of installed headers."""
    for makefile in sources.glob("linux-headers-*/Makefile"):
        text = makefile.read_text()
        moved = re.sub(r"^(include |KBUILD_OUTPUT=)/usr/src/", rf"\1{final}/", text, flags=re.M)
        if moved != text:
            makefile.write_text(moved)


def _expand(modules: Path) -> None:
    """Uncompress the modules of the initramfs: an emulated guest needs half a second for that."""
    for folder in cached.BOOT_MODULES:
        for packed in (modules / folder).glob("*.ko.xz"):
            packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
            packed.unlink()


def run(*command: str) -> None:
    """Run a program; OomctlError if it fails."""
    status, output = programs.run(*command)
    if status:
        why = (output.strip().splitlines() or ["it gave no reason"])[-1].strip()
        raise OomctlError(f"{command[0]} failed on {command[-1]}: {why}", detail=output)
