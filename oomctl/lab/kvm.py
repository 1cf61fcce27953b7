"""Whether KVM works, proven by a boot: /dev/kvm may be there, take a VM, and hang every guest."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path

from oomctl import cache, console
from oomctl.lab import tools
from oomctl.proc import fork, programs

_LIMIT_SECONDS = 10.0


def works(image: Path) -> bool:
    """Tell whether `image` comes up under KVM here; probed once per boot of this host and QEMU."""
    answer = known()
    if answer is None:
        answer = _present() and _probe(image)
        _remembered().write_text(json.dumps({"asked": _circumstances(), "works": answer}))
    return answer


def known() -> bool | None:
    """Return the answer if it needs no boot, else None."""
    if not _present():
        return False
    try:
        answer = json.loads(_remembered().read_text())
        return bool(answer["works"]) if answer["asked"] == _circumstances() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def came_up(serial: bytes) -> bool:
    """Tell from the console whether a kernel booted without a root got as far as missing it."""
    return b"Unable to mount root fs" in serial or b"No working init found" in serial


def _present() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def _probe(image: Path) -> bool:
    console.progress(f"probing KVM with a boot, {_LIMIT_SECONDS:.0f} s at most")
    command = [str(tools.qemu()), "-enable-kvm", "-cpu", "host", "-m", "512", "-kernel", str(image)]
    command += ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(fork.die_with, os.getpid()),
    )
    try:
        serial, _ = process.communicate(timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        console.detail("a guest hangs under KVM here; it is emulated instead, which is slower")
        return False
    finally:
        process.kill()
        programs.reap(process)
    return came_up(serial)


def _circumstances() -> list[str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    qemu = tools.qemu()
    return [boot, str(qemu), str(qemu.stat().st_mtime_ns)]


def _remembered() -> Path:
    return cache.folder() / "kvm.json"
