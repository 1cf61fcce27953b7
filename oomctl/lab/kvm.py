"""Whether KVM works, found out by a boot: /dev/kvm may exist, accept a VM, and hang every guest."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path

from oomctl import cache, console
from oomctl.lab import architecture, tools
from oomctl.proc import fork, programs

_PROBE_SECONDS = 10.0


def works(image: Path) -> bool:
    """Tell whether `image` boots under KVM; probed once per boot of the host and per QEMU."""
    result = known()
    if result is None:
        result = _present() and _probe(image)
        _file().write_text(json.dumps({"host": _host(), "works": result}))
    return result


def known() -> bool | None:
    """Return the result if it needs no boot, else None."""
    if not _present():
        return False
    try:
        stored = json.loads(_file().read_text())
        return bool(stored["works"]) if stored["host"] == _host() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def booted(serial: bytes) -> bool:
    """Tell from the console whether a kernel without a root file system got as far as that."""
    return b"Unable to mount root fs" in serial or b"No working init found" in serial


def _present() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def _probe(image: Path) -> bool:
    console.progress(f"probing KVM with a boot, {_PROBE_SECONDS:.0f} s at most")
    tty = architecture.native().console
    command = [str(tools.qemu()), "-enable-kvm", "-cpu", "host", "-m", "512", "-kernel", str(image)]
    command += ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-append", f"console={tty} earlyprintk=serial,{tty} panic=-1"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(fork.die_with, os.getpid()),
    )
    try:
        serial, _ = process.communicate(timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        console.detail("the guest hangs under KVM on this host; the lab emulates, which is slower")
        return False
    finally:
        process.kill()
        programs.reap(process)
    return booted(serial)


def _host() -> list[str]:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    qemu = tools.qemu()
    return [boot_id, str(qemu), str(qemu.stat().st_mtime_ns)]


def _file() -> Path:
    return cache.folder() / "kvm.json"
