"""The kernel that `--kernel` names, found, fetched or unpacked, and kept while it is used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oomctl.errors import UsageError
from oomctl.lab import cached, guest_kernel, packages, stock, versions
from oomctl.lab.architecture import KERNELS
from oomctl.lab.guest_kernel import Kernel

STOCK, REFERENCE = "stock", "reference"
_KINDS = (
    "stock, reference, a version such as 6.12, a name of `oomctl lab kernels`, a build tree, a "
    "folder of unpacked packages, a linux-image package or an image"
)


@contextmanager
def in_use(text: str, arch: str = "") -> Iterator[Kernel]:
    """Yield the kernel that an option names, and prevent its removal during the block.

    `arch` is one of architecture.KERNELS, by default this machine's for a kernel of Debian.
    UsageError if there is none.
    """
    if text == STOCK:
        with stock.in_use(arch) as found:
            yield found
        return
    found = find(text, arch=arch)
    with guest_kernel.in_use(found) as is_there:
        if not is_there:
            raise UsageError(f"--kernel: {text} was just removed", "give another")
        yield found


def find(text: str, update: bool = False, arch: str = "") -> Kernel:
    """Return the kernel that an option names, of this `arch`; UsageError if there is none.

    With `update` Debian's archive is asked for a newer one.
    """
    if text == STOCK:
        return stock.get(update, arch)
    found = _find(text, update, arch)
    if arch and found.architecture != KERNELS[arch]:
        raise UsageError(
            f"--arch {arch}: the kernel {text} is for {found.architecture.debian}",
            "give one of its own, or leave out --arch",
        )
    return found


def _find(text: str, update: bool, arch: str) -> Kernel:
    if text == REFERENCE:
        if found := cached.reference():
            return found
        raise UsageError("--kernel reference: none was built yet", "oomctl lab build")
    path = Path(text)
    if text.endswith(".deb") and path.is_file():
        return packages.get(path)
    if text and _is_there(path):
        return guest_kernel.given(path)
    if found := cached.find(text):
        return found
    if versions.is_version(text):
        return versions.get(text, update, arch)
    if text and "/" not in text and (home := cached.home(text)).is_dir():
        why = cached.damage(home) or "it has no whole kernel image"
        raise UsageError(
            f"--kernel: {text} in the cache is damaged: {why}",
            f"`oomctl lab kernels --remove {text}`, then fetch or build it again",
        )
    raise UsageError(f"--kernel: {text} does not exist", f"give {_KINDS}")


def _is_there(path: Path) -> bool:
    """Tell whether a path leads to something; OSError if that cannot be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def find_local(text: str, arch: str = "") -> Kernel:
    """Return the kernel that an option names without fetching one; UsageError if it is not here."""
    found: Kernel | None
    if text == STOCK:
        found = stock.chosen(arch)
    elif versions.is_version(text) and not os.path.lexists(text):
        found = versions.known(text, arch)
    else:
        return find(text, arch=arch)
    if found is None:
        hint = "oomctl lab fetch" if text == STOCK else f"oomctl lab fetch --kernel {text}"
        hint += f" --arch {arch}" if arch else ""
        raise UsageError(f"the kernel {text} was not fetched yet", hint)
    return found
