"""`oomctl kfunc`: whether this kernel has the kfunc, and the module that adds it."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from oomctl import cache, console
from oomctl.bpf import btf
from oomctl.cli import options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import value
from oomctl.cli.output import Output
from oomctl.errors import UnsupportedError, UsageError
from oomctl.experiment.environment import require_kfunc
from oomctl.kmod import elf, kbuild, module
from oomctl.oom.as_json import SCHEMA
from oomctl.report import PlainFormat


@dataclass(frozen=True)
class StatusOptions:
    """The options of `oomctl kfunc status`."""

    form: Annotated[PlainFormat, options.form(PlainFormat)] = "table"
    output: options.OutputFile = None


@command("`oomctl declare` can call the kfunc", environment=[CACHE])
def status(given: StatusOptions) -> None:
    """Show whether the running kernel has the kfunc, and its shape.

    If `oomctl declare` cannot call it, the last line names the command that changes that.

    Examples:
      oomctl kfunc status
      oomctl kfunc status --format json
    """
    headers = kbuild.headers_of(platform.release())
    kfunc, problem = _look()
    path = _path(platform.release())
    built = _built(path, headers)
    lack = _lack(headers)
    facts: dict[str, str | bool | None] = {
        "kernel": platform.release(),
        "usable": problem is None,
        "kfunc": kfunc.signature if kfunc else None,
        "provider": kfunc.provider if kfunc else None,
        "variant": kfunc.variant if kfunc else None,
        "module": str(path) if built else None,
        "can_build": lack is None,
    }
    with Output(given.output) as place:
        as_json = given.form == "json"
        place.write(json.dumps({"schema": SCHEMA, **facts}) + "\n" if as_json else _lines(facts))
    if problem:
        raise problem if kfunc else _with_fix(problem, None if built else lack)


@dataclass(frozen=True)
class BuildOptions:
    """The options of `oomctl kfunc build`."""

    headers: Annotated[
        Path | None,
        value(
            "DIR",
            "Kernel build folder. [default: that of the running kernel, /lib/modules/$(uname "
            "-r)/build]",
        ),
    ] = None
    into: Annotated[
        Path | None,
        value("DIR", "Folder for the module, made if it is missing. [default: oomctl's cache]"),
    ] = None

    def __post_init__(self) -> None:
        """Check the folder to build against."""
        if self.headers and not self.headers.is_dir():
            raise UsageError(
                f"--headers: {self.headers} is not a folder",
                "name a kernel's build folder, such as /lib/modules/$(uname -r)/build",
            )


@command("built, or not needed since the kernel has the kfunc", environment=[CACHE])
def build(given: BuildOptions) -> None:
    """Build the module and print its path.

    It needs make, the compiler that built the kernel, and pahole; not root.

    Examples:
      oomctl kfunc build
      oomctl kfunc build --headers ~/linux --into .
    """
    if given.headers is None:
        if _in_kernel():
            return
        module.require_modules()
    folder = given.headers or kbuild.headers_of(platform.release())
    release = kbuild.release_of(folder) if given.headers else platform.release()
    if kbuild.has_kfunc(folder, btf.KFUNC):
        console.note(f"the kernel of {folder} has {btf.KFUNC}() itself; it needs no module")
        return
    with Output(None) as place:
        path = module.build(folder, given.into or _path(release).parent)
        place.write(f"{path}\n")


@dataclass(frozen=True)
class LoadOptions:
    """The options of `oomctl kfunc load`."""

    module: options.Module = None


@command("loaded, or there already", environment=[CACHE])
def load(given: LoadOptions) -> None:
    """Load the module; build it first if need be.

    It needs root.

    Examples:
      sudo oomctl kfunc load
      sudo oomctl kfunc load --module ./bpf_oom_kfunc.ko
    """
    if _in_kernel():
        return
    if given.module is None and module.loaded():
        console.note(f"{module.MODULE} is loaded already; nothing to do")
        return
    module.require_modules()
    headers = kbuild.headers_of(platform.release())
    path = given.module or _path(platform.release())
    if given.module is None and not _built(path, headers):
        console.progress(f"building the module for {platform.release()}")
        module.build(headers, path.parent)
    module.load(path)
    console.note(f"loaded {path}: {require_kfunc().signature}")


@command("unloaded, or not there")
def unload() -> None:
    """Unload the module from the running kernel.

    It needs root.

    Examples:
      sudo oomctl kfunc unload
    """
    if module.loaded():
        module.unload()
        console.note(f"unloaded {module.MODULE}")
    else:
        console.note(f"{module.MODULE} is not loaded; nothing to do")


def _look() -> tuple[btf.Kfunc | None, UnsupportedError | None]:
    """Return the kernel's kfunc, and why oomctl cannot call it."""
    kfunc = None
    try:
        kfunc = btf.find_kfunc()
        return require_kfunc(), None
    except UnsupportedError as problem:
        return kfunc, problem


def _with_fix(problem: UnsupportedError, lack: UnsupportedError | None) -> UnsupportedError:
    """Name the next command: it loads the module, or brings what its build lacks."""
    if lack:
        return UnsupportedError(f"{problem.why}, and no module for it: {lack.why}", lack.hint)
    sudo = "" if os.geteuid() == 0 else "sudo "
    return UnsupportedError(problem.why, f"{sudo}oomctl kfunc load")


def _in_kernel() -> bool:
    """Note it if the running kernel has the kfunc without a module."""
    kfunc = btf.find_kfunc()
    if kfunc is None or kfunc.provider == module.MODULE:
        return False
    kfunc.require_callable()
    console.note(f"this kernel has {btf.KFUNC}() itself ({kfunc.provider}); it needs no module")
    return True


def _lack(headers: Path) -> UnsupportedError | None:
    try:
        if reason := module.unloadable():
            return reason
        kbuild.require(headers)
    except UnsupportedError as lack:
        return lack
    return None


def _path(release: str) -> Path:
    return cache.place("modules", release) / f"{module.MODULE}.ko"


def _built(path: Path, headers: Path) -> bool:
    return module.fresh(path, headers) and elf.whole(path)


def _lines(facts: dict[str, str | bool | None]) -> str:
    words = {True: "yes", False: "no", None: "none"}
    return "".join(
        f"{name.replace('_', ' '):<10} {value if isinstance(value, str) else words[value]}\n"
        for name, value in facts.items()
    )
