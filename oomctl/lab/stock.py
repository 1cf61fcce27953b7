"""The stock kernel: Debian's newest that boots here and loads oomctl's module."""

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from oomctl import cache, console
from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.kmod import module
from oomctl.lab import apt, architecture, cached, guest_kernel, guest_root, kvm, tools, unpack, vm
from oomctl.lab.apt import Archive, Candidate
from oomctl.lab.architecture import KERNELS
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.qemu import Machine
from oomctl.lab.running import Job
from oomctl.lab.suites import FETCH_SECONDS, KERNEL_SPACE, open_archive
from oomctl.text import counted

_BOOT_SECONDS = 120.0
_SIZE = "image_bytes"


def chosen(arch: str = "") -> Kernel | None:
    """Return the stock kernel that has booted here before, or None.

    `arch` is one of architecture.KERNELS, here and below; "" is this machine's.
    UnsupportedError if it is in the cache, but damaged.
    """
    try:
        stamp = json.loads(_stamp(arch).read_text())
        home = _home(stamp["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        found = guest_kernel.find(home)
        size = found.image.stat().st_size
        if size != stamp.get(_SIZE, size):
            raise UsageError(f"{found.image} has {size} bytes, not {stamp[_SIZE]}")
        if damage := cached.damage(home):
            raise UsageError(damage)
    except (UsageError, OSError) as error:
        fetching = "oomctl lab fetch" + (f" --arch {arch}" if arch else "")
        why = error.why if isinstance(error, UsageError) else str(error)
        raise UnsupportedError(
            f"the lab's kernel is damaged: {why}",
            f"`{fetching}` fetches it again",
        ) from error
    return found


@contextlib.contextmanager
def in_use(arch: str = "") -> Iterator[Kernel]:
    """Yield get(), and prevent the kernel's removal during the block."""
    while True:
        found = get(arch=arch)
        with guest_kernel.in_use(found) as there:
            if there:
                yield found
                return


def get(update: bool = False, arch: str = "") -> Kernel:
    """Return the stock kernel; fetch it, build its module and try a boot if the cache has none.

    With `update` a newer one in the archive replaces it. UnsupportedError if none works.
    """
    with contextlib.suppress(UnsupportedError):
        known = chosen(arch)
        if known and not update:
            return known
    tools.require(KERNELS.get(arch))
    with cache.locked("kernels", doing="fetching a kernel", patience=FETCH_SECONDS):
        known = _whole(arch)
        if known and not update:
            return known
        cache.require_space(KERNEL_SPACE, "fetching a kernel")
        found = _choose(known, arch)
        new = _stamp(arch).with_suffix(".new")
        stamp = {"release": found.release, _SIZE: found.image.stat().st_size}
        new.write_text(json.dumps(stamp))
        new.replace(_stamp(arch))
        for folder in cache.folder("kernels").glob("*/"):
            is_stock = cached.flavour_of(folder) == Flavour.STOCK
            is_old = is_stock and folder.name != found.release
            if (
                is_old
                and _end(folder.name) == _end(found.release)
                and not cache.remove_unused(folder)
            ):
                console.detail(f"{folder} is kept for now: another oomctl uses it")
        return found


def _whole(arch: str) -> Kernel | None:
    """Return chosen(); remove it if it is damaged."""
    try:
        return chosen(arch)
    except UnsupportedError as error:
        console.note(f"{error.why}; fetching it again")
        unpack.remove_damaged(_home(json.loads(_stamp(arch).read_text())["release"]))
        return None


def _choose(known: Kernel | None, arch: str) -> Kernel:
    """Return the first candidate that works, from the newest on; backports has the newer ones."""
    tools.require_python_debian()
    codename = apt.machine_codename()
    failures = []
    for suite in (f"{codename}-backports", codename):
        try:
            with open_archive(suite, arch) as archive:
                for candidate in archive.candidates():
                    if known and candidate.release == known.release:
                        return known
                    try:
                        return _try(archive, candidate)
                    except OomctlError as error:
                        failures.append(f"{candidate.release}: {error}\n{error.detail}")
                        console.detail(failures[-1])
        except OomctlError as error:
            failures.append(f"{suite}: {error}\n{error.detail}")
            console.detail(failures[-1])
    first = failures[0].splitlines()[0] if failures else "the archive has no kernel"
    raise UnsupportedError(
        f"no stock kernel works here; {module.OLDEST} is the oldest that can; first of "
        f"{counted(len(failures), 'failure')}: {first}",
        "run with -v to see each failure, or give --kernel FOLDER-or-IMAGE",
        "\n".join(failures),
    )


def _try(archive: Archive, candidate: Candidate) -> Kernel:
    """Fetch a candidate, build the module for it, and boot it once with the module."""
    try:
        found = guest_kernel.find(_home(candidate.release))
    except UsageError:
        found = _fetch(archive, candidate)
    try:
        _try_boot(found)
    except OomctlError:
        cache.remove_unused(_home(candidate.release))
        raise
    return found


def _try_boot(found: Kernel) -> None:
    ko = guest_kernel.module_for(found)
    guest = found.architecture
    accelerated = guest.is_native and kvm.works(found.image)
    job = Job(("true",), {"PATH": "/usr/bin:/bin"}, "/", ko, look=True)
    with guest_root.in_use(guest) as root:
        console.progress(f"trying a boot of {found.release}")
        machine = Machine(found.image, kvm=accelerated, architecture=guest, root=root)
        ending = vm.run_once(machine, job, _BOOT_SECONDS, None, None)
    if ending.status != 0:
        raise OomctlError(f"{found.release} does not boot here", detail=ending.console)


def _fetch(archive: Archive, candidate: Candidate) -> Kernel:
    console.progress(
        f"fetching {candidate.release} ({counted(len(candidate.packages), 'package')})"
    )
    fetch = partial(archive.download, candidate)
    return unpack.unpack(fetch, candidate.release, _home(candidate.release), Flavour.STOCK)


def _home(release: str) -> Path:
    return cache.folder("kernels") / release


def _end(release: str) -> str:
    """Return which of Debian's kernels a release is of, "" if none of those that are known."""
    return next((arch for arch in KERNELS if release.endswith(f"-{arch}")), "")


def _stamp(arch: str = "") -> Path:
    is_usual = arch in ("", architecture.native().debian)
    return cache.folder("kernels") / ("stock.json" if is_usual else f"stock-{arch}.json")
