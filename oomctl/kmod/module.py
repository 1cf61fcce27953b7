"""The kernel module with the kfunc, for kernels without it: build, load, unload."""

import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

from oomctl import commandline, console
from oomctl.bpf.btf import KFUNC
from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.files.outfile import open_output
from oomctl.kmod import kbuild
from oomctl.proc import programs
from oomctl.resources import kernel_sources

MODULE = "bpf_oom_kfunc"
OLDEST = "Linux 6.12"
"""The oldest kernel that is supported; features are probed, never derived from the version."""

_UNPIN_SECONDS = 3.0  # after its end a program drops its reference through RCU and a work queue
_LOADED = Path("/proc/modules")


def build(headers: Path, into: Path, sources: Path | None = None) -> Path:
    """Build the module against a kernel's build folder and return the path of the .ko in `into`.

    `headers` is like /lib/modules/RELEASE/build; `into` is created; `sources` replaces oomctl's
    own. UnsupportedError names what this machine or that folder lacks.
    """
    arguments = kbuild.require(headers)
    with tempfile.TemporaryDirectory(prefix="oomctl-module-") as name:
        folder = Path(name, "source")
        shutil.copytree(sources or kernel_sources(), folder)
        status, log = programs.run(
            *("make", "-C", str(headers), f"M={folder}", *arguments, "modules"), temporary=name
        )
        made = folder / f"{MODULE}.ko"
        if status or not made.exists():
            raise _not_built(headers, log)
        for line in log.splitlines():
            console.detail(line)
        if not _has_btf(made):
            raise _no_btf(headers, log)
        return _put(made, into)


def fresh(path: Path, headers: Path) -> bool:
    """Return whether a built module exists and is newer than its sources and the kernel's BTF.

    A user's kernel may be rebuilt with the same release, which changes the type ids in its BTF.
    """
    origins = [*kernel_sources().iterdir(), headers / "vmlinux"]
    newest = max(origin.stat().st_mtime for origin in origins if origin.exists())
    return path.exists() and path.stat().st_mtime > newest


def loaded() -> bool:
    """Return whether the module is loaded."""
    return any(line.startswith(f"{MODULE} ") for line in _read(_LOADED).splitlines())


def require_modules() -> None:
    """Raise UnsupportedError if the running kernel does not support modules."""
    if not _LOADED.exists():
        raise no_modules()


def no_modules() -> UnsupportedError:
    """Return the error of a kernel without support for modules."""
    return UnsupportedError(
        "this kernel loads no modules (CONFIG_MODULES is off)", f"use {commandline.in_lab()}"
    )


def unloadable() -> UnsupportedError | None:
    """Return why this kernel would refuse the module, if that is known beforehand."""
    return forbidden() if _LOADED.exists() else no_modules()


def load(path: Path) -> None:
    """Load a built module; UnsupportedError if the kernel refuses it."""
    require_modules()
    _require_root()
    status, message = programs.run("insmod", str(path))
    if status:
        raise refusal(message, path)
    # with CONFIG_MODULE_ALLOW_BTF_MISMATCH a module loads without its BTF if that does not match
    if not Path("/sys/kernel/btf", MODULE).exists():
        programs.run("rmmod", MODULE)
        raise UnsupportedError(
            f"the kernel loaded {path} without its BTF, which does not match; it is unloaded again",
            "build it against the headers of exactly this kernel: oomctl kfunc build",
        )


def unload() -> None:
    """Unload the module; wait some seconds for programs that have just ended."""
    _require_root()
    end = time.monotonic() + _UNPIN_SECONDS
    while True:
        status, message = programs.run("rmmod", MODULE)
        if status == 0:
            return
        if "in use" not in message:
            raise OomctlError(f"cannot unload {MODULE}: {_last(message)}", "see dmesg")
        if time.monotonic() > end:
            raise OomctlError(
                f"cannot unload {MODULE}: a loaded BPF program uses the kfunc",
                "end the process that holds the program; `bpftool prog` lists them",
            )
        time.sleep(0.1)


def refusal(
    message: str, path: Path, proc: Path = Path("/proc"), sys: Path = Path("/sys")
) -> OomctlError:
    """Return cause and cure, by the message of insmod and the state of the machine."""
    denied = "not permitted" in message
    if denied and (known := forbidden(str(path), proc, sys)):
        return known
    if re.search(r"\bkey\b", message, re.IGNORECASE):
        return _signed_only(str(path))
    if denied:
        return UnsupportedError(
            "root may not load modules here (a container?)", f"use {commandline.in_lab()}"
        )
    if "File exists" in message:
        return OomctlError(f"{MODULE} is loaded already", "oomctl kfunc unload")
    if "Invalid module format" in message or "Exec format" in message:
        status, built_for = programs.run("modinfo", "--field", "vermagic", str(path))
        if status or not built_for.split():
            return UsageError(f"{path} is not a kernel module", "oomctl kfunc build makes one")
        return UnsupportedError(
            f"{path} was built for {built_for.split()[0]}, and the running kernel is "
            f"{platform.release()} or differs in its configuration",
            "oomctl kfunc build",
        )
    return UnsupportedError(
        f"the kernel refused {path}: {_last(message)}",
        f"`dmesg | grep {MODULE}` has the kernel's own reason",
    )


def forbidden(
    path: str = "it", proc: Path = Path("/proc"), sys: Path = Path("/sys")
) -> UnsupportedError | None:
    """Return why the kernel refuses every module of ours, if it does."""
    if _read(proc / "sys/kernel/modules_disabled").strip() == "1":
        return UnsupportedError(
            "this kernel loads no more modules (kernel.modules_disabled=1)",
            f"reboot, or use {commandline.in_lab()}",
        )
    lockdown = _read(sys / "kernel/security/lockdown")
    enforced = _read(sys / "module/module/parameters/sig_enforce").strip() == "Y"
    if enforced or (lockdown and "[none]" not in lockdown):
        return _signed_only(path)
    return None


def _signed_only(path: str) -> UnsupportedError:
    return UnsupportedError(
        "this kernel loads signed modules only (Secure Boot or lockdown)",
        f"sign {path} with a key that the machine trusts, or use {commandline.in_lab()}",
    )


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UnsupportedError("loading and unloading modules needs root", "run it with sudo")


def _has_btf(module: Path) -> bool:
    """Return whether a module has BTF; one without loads, but its kfunc cannot be found.

    kernel/bpf/btf.c, check_btf_kconfigs().
    """
    _status, strings = programs.run("readelf", "--string-dump=.BTF", str(module))
    return any(line.split()[-1:] == [KFUNC] for line in strings.splitlines())


def _not_built(headers: Path, log: str) -> UnsupportedError:
    lines = [line.strip() for line in log.splitlines()]
    errors = [line for line in lines if "error" in line.lower() or "*** " in line]
    return UnsupportedError(
        f"the module does not build against {headers}, which is of Linux "
        f"{kbuild.release_of(headers)}: {errors[0] if errors else _last(log)}",
        f"{OLDEST} is the oldest kernel that it works on; -v shows make's output",
        log,
    )


def _no_btf(headers: Path, log: str) -> UnsupportedError:
    _status, version = programs.run("pahole", "--numeric_version")
    kernels = kbuild.read_config(headers).get("PAHOLE_VERSION", "")
    if version.strip().isdigit() and kernels.isdigit() and int(version) < int(kernels):
        why = f"pahole {version.strip()} is older than the {kernels} that made this kernel's BTF"
        return UnsupportedError(f"{why}, and made none for the module", "upgrade dwarves", log)
    return UnsupportedError(f"pahole made no BTF for the module ({headers})", "see -v", log)


def _put(made: Path, into: Path) -> Path:
    path = into / made.name
    try:
        into.mkdir(parents=True, exist_ok=True)
        with open_output(path) as file:
            file.write(made.read_bytes())
    except OSError as error:
        raise OomctlError(
            f"cannot write {path}: {error.strerror}", "name another folder with --into"
        ) from error
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
