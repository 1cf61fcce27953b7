"""The stock kernel: Debian's newest that boots here and loads oomctl's module."""

import contextlib
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

from oomctl import cache, console
from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.kmod import module
from oomctl.lab import apt, guest_kernel, kvm, tools, vm
from oomctl.lab.apt import Archive, Candidate
from oomctl.lab.boot import Job
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.qemu import Machine
from oomctl.proc import programs
from oomctl.text import counted

_BOOT_SECONDS = 120.0
_FETCH_SECONDS = 3600.0
"""How long to wait for another oomctl that fetches a kernel."""
_SIZE = "image_bytes"


def chosen() -> Kernel | None:
    """Return the stock kernel that has booted here before, or None.

    UnsupportedError if it is in the cache, but damaged.
    """
    try:
        stamp = json.loads(_stamp().read_text())
        home = _home(stamp["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        found = guest_kernel.find(home)
        size = found.image.stat().st_size
        if size != stamp.get(_SIZE, size):
            raise UsageError(f"{found.image} has {size} bytes, not {stamp[_SIZE]}")
    except (UsageError, OSError) as error:
        why = error.why if isinstance(error, UsageError) else str(error)
        raise UnsupportedError(
            f"the lab's kernel is damaged: {why}", "`oomctl lab fetch` fetches it again"
        ) from error
    return found


@contextlib.contextmanager
def in_use() -> Iterator[Kernel]:
    """Yield get(), and prevent the kernel's removal during the block."""
    while True:
        found = get()
        with guest_kernel.in_use(found) as there:
            if there:
                yield found
                return


def get(update: bool = False) -> Kernel:
    """Return the stock kernel; fetch it, build its module and try a boot if the cache has none.

    With `update` a newer one in the archive replaces it. UnsupportedError if none works.
    """
    with contextlib.suppress(UnsupportedError):
        known = chosen()
        if known and not update:
            return known
    tools.require()
    with cache.locked("kernels", doing="fetching a kernel", patience=_FETCH_SECONDS):
        known = _whole()
        if known and not update:
            return known
        found = _choose(known)
        new = _stamp().with_suffix(".new")
        stamp = {"release": found.release, _SIZE: found.image.stat().st_size}
        new.write_text(json.dumps(stamp))
        new.replace(_stamp())
        for folder in cache.folder("kernels").glob("*/"):
            if folder.name != found.release and not cache.remove_unused(folder):
                console.detail(f"{folder} is kept for now: another oomctl uses it")
        return found


def _whole() -> Kernel | None:
    """Return chosen(); remove it if it is damaged."""
    try:
        return chosen()
    except UnsupportedError as error:
        console.note(f"{error.why}; fetching it again")
        _remove_damaged(_home(json.loads(_stamp().read_text())["release"]))
        return None


def _remove_damaged(home: Path) -> None:
    if not cache.remove_unused(home):
        raise OomctlError(f"{home} is damaged, and another oomctl uses it", "end that oomctl first")


def _choose(known: Kernel | None) -> Kernel:
    """Return the first candidate that works, from the newest on; backports has the newer ones."""
    tools.require_python_debian()
    codename = apt.machine_codename()
    failures = []
    for suite in (f"{codename}-backports", codename):
        try:
            with _archive(suite) as archive:
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


@contextlib.contextmanager
def _archive(suite: str) -> Iterator[Archive]:
    console.progress(f"fetching the package index of {suite}")
    with cache.scratch("apt-") as folder:
        archive = Archive(folder, suite)
        archive.update()
        yield archive


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
    accelerated = kvm.works(found.image)
    console.progress(f"trying a boot of {found.release}")
    job = Job(("true",), {"PATH": "/usr/bin:/bin"}, "/", ko, look=True)
    ending = vm.run_once(Machine(found.image, kvm=accelerated), job, _BOOT_SECONDS, None, None)
    if ending.status != 0:
        raise OomctlError(f"{found.release} does not boot here", detail=ending.console)


def _fetch(archive: Archive, candidate: Candidate) -> Kernel:
    """Download and unpack into a folder that gets its name only when it is complete.

    A damaged folder of that name is removed first; OomctlError if another oomctl uses it.
    """
    home = _home(candidate.release)
    _remove_damaged(home)
    console.progress(
        f"fetching {candidate.release} ({counted(len(candidate.packages), 'package')})"
    )
    with cache.scratch("new-") as folder:
        root = folder / "root"
        root.mkdir()
        packages = archive.download(candidate, folder)
        console.progress(f"unpacking {candidate.release}")
        for package in packages:
            _run("dpkg", "-x", str(package), str(root))
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        relocate(root / "usr/src", home / "usr/src")
        _expand(root / "lib/modules" / candidate.release / "kernel")
        _run("depmod", "-b", str(root), candidate.release)
        root.rename(home)
    return guest_kernel.find(home)


def relocate(sources: Path, final: Path) -> None:
    """Change the absolute paths in unpacked headers, which are those of installed headers."""
    for makefile in sources.glob("linux-headers-*/Makefile"):
        text = makefile.read_text()
        moved = re.sub(r"^(include |KBUILD_OUTPUT=)/usr/src/", rf"\1{final}/", text, flags=re.M)
        if moved != text:
            makefile.write_text(moved)


def _expand(modules: Path) -> None:
    """Uncompress the modules of the initramfs: an emulated guest needs half a second for that."""
    for folder in ("fs/9p", "fs/netfs", "fs/overlayfs", "net/9p", "drivers/virtio"):
        for packed in (modules / folder).glob("*.ko.xz"):
            packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
            packed.unlink()


def _run(*command: str) -> None:
    status, output = programs.run(*command)
    if status:
        raise OomctlError(f"{command[0]} failed on {command[-1]}", detail=output)


def _home(release: str) -> Path:
    return cache.folder("kernels") / release


def _stamp() -> Path:
    return cache.folder("kernels") / "stock.json"
