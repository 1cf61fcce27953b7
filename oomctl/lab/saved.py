"""Machines that were saved once they were up, to restore instead of booting again.

A machine is saved where guest-init.sh waits for its command, before it mounts a folder of the host,
which QEMU could not save. It is restored only if everything that it was made of is unchanged. The
kernel's random numbers are seeded anew then (vmgenid), and the host sends it the time.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oomctl import cache, console
from oomctl.files.digest import identity, sha256
from oomctl.lab import qemu, tools
from oomctl.lab.qemu import Machine

_KEPT = 8
_STATE, _RECORD = "state", "machine.json"
_SPACE = 1 << 30
"""Free bytes without which nothing is saved."""


@dataclass(frozen=True)
class Saved:
    """A saved machine: the file with its state, and what virtme-ng said of it."""

    state: Path
    virtme_output: str


def key(vm: Machine, files: Mapping[str, bytes], modules: Path | None, python: str = "") -> str:
    """Return the name of machines that may be restored for each other.

    They differ in the folders that they mount, but not in how many, and in zram. `files` are the
    lab's own in the initramfs, `modules` the host's folder of the kernel's, `python` names what
    waits in it.
    """
    same = dataclasses.replace(
        vm,
        rwdirs=(Path(),) * len(vm.rwdirs),
        rodirs=(Path(),) * len(vm.rodirs),
        disk=Path() if vm.disk else None,
        forward=bool(vm.forward),
        zram=0,
        needs_zram=True,
    )
    made_by = [vm.image, tools.qemu(), tools.virtme_run(), tools.busybox() or Path()]
    made_by += [modules / "modules.dep"] if modules else []
    parts = [repr(same), python, qemu.kernel_line(vm), *map(identity, made_by)]
    parts += [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(files.items())]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


@contextlib.contextmanager
def found(name: str) -> Iterator[Saved | None]:
    """Yield the saved machine of a name, if there is one that is whole; it stays for the block."""
    home = cache.place("machines", name)
    with cache.in_use(home) as is_there:
        yield _read(home) if is_there else None


def _read(home: Path) -> Saved | None:
    try:
        record = json.loads((home / _RECORD).read_text())
        if sha256(home / _STATE) != record["sha256"]:
            return None
        os.utime(home)
        return Saved(home / _STATE, str(record["virtme"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(name: str, monitor: socket.socket, virtme_output: str, seconds: float) -> None:
    """Save a machine that runs, and let it run on; an older one of the name is replaced.

    `monitor` takes QEMU's commands. OSError or TimeoutError if it fails; the machine may have
    stopped then.
    """
    try:
        from oomctl.lab.monitor import write_state  # and asyncio, which only saving needs
    except ImportError as error:
        console.detail(f"machines are not saved: {error}; `pip install 'oomctl[lab]'`")
        return
    if shutil.disk_usage(cache.folder()).free < _SPACE:
        return
    with cache.scratch("machine-") as folder:
        state = folder / _STATE
        with state.open("wb") as file:
            path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
            write_state(monitor, path, seconds)
        record = {"virtme": virtme_output, "sha256": sha256(state)}
        (folder / _RECORD).write_text(json.dumps(record))
        home = cache.folder("machines") / name
        if cache.remove_unused(home):
            with contextlib.suppress(OSError):  # another oomctl has just saved the same
                folder.rename(home)
    for old in sorted(home.parent.glob("*/"), key=_last_used)[:-_KEPT]:
        cache.remove_unused(old)


def discard(name: str) -> None:
    """Remove a saved machine that did not come up, unless another oomctl uses it."""
    cache.remove_unused(cache.place("machines", name))


def _last_used(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except OSError:
        return 0
