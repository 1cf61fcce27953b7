"""`oomctl kfunc`: whether this kernel has the kfunc, and the module that adds it."""

import json
import os
import platform
from pathlib import Path
from typing import Annotated, Literal

import typer

from oomctl import cache, console
from oomctl.bpf import btf
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import UnsupportedError
from oomctl.experiment.environment import require_kfunc
from oomctl.kmod import elf, kbuild, module
from oomctl.oom.as_json import SCHEMA

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Give this kernel bpf_out_of_memory(): look, build the module, load it, unload it.",
)

Headers = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Kernel build folder to build against. Default: that of the running kernel, "
        "/lib/modules/$(uname -r)/build.",
        show_default=False,
    ),
]


Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say each step, and show the output of make.")
]


@app.command()
@guarded
def status(
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print it.")
    ] = "table",
) -> None:
    """Tell whether the running kernel has the kfunc, from where, and in which shape.

    Exits with 0 if `oomctl declare` can call it, and with 3 if not; the last line then names the
    command that mends it.
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
    with Output(None) as output:
        output.write(
            json.dumps({"schema": SCHEMA, **facts}) + "\n" if form == "json" else _lines(facts)
        )
    if problem:
        raise problem if kfunc else _with_cure(problem, None if built else lack)


@app.command()
@guarded
def build(
    headers: Headers = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to put the module into, created if need be. Default: oomctl's cache.",
            show_default=False,
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Build the module and print its path. Needs make, the kernel's gcc, and pahole; not root."""
    console.set_verbosity(int(verbose))
    if headers is None:
        if _in_kernel():
            return
        module.require_modules()
    folder = headers or kbuild.headers_of(platform.release())
    release = kbuild.release_of(headers) if headers else platform.release()
    if kbuild.has_kfunc(folder, btf.KFUNC):
        console.note(f"the kernel of {folder} has {btf.KFUNC}() itself; it needs no module")
        return
    with Output(None) as result:
        path = module.build(folder, output or _path(release).parent)
        result.write(f"{path}\n")


@app.command()
@guarded
def load(
    file: options.Module = None,
    verbose: Verbose = False,
) -> None:
    """Load the module into the running kernel, built first where that is necessary. Needs root."""
    console.set_verbosity(int(verbose))
    if _in_kernel():
        return
    if file is None and module.loaded():
        console.note(f"{module.MODULE} is loaded already; nothing to do")
        return
    module.require_modules()
    headers = kbuild.headers_of(platform.release())
    path = file or _path(platform.release())
    if file is None and not _built(path, headers):
        console.progress(f"building the module for {platform.release()}")
        module.build(headers, path.parent)
    module.load(path)
    console.note(f"loaded {path}: {require_kfunc().signature}")


@app.command()
@guarded
def unload() -> None:
    """Take the module out of the running kernel. Needs root."""
    if module.loaded():
        module.unload()
        console.note(f"unloaded {module.MODULE}")
    else:
        console.note(f"{module.MODULE} is not loaded; nothing to do")


def _look() -> tuple[btf.Kfunc | None, UnsupportedError | None]:
    """Return the kernel's kfunc, and what keeps oomctl from calling it."""
    kfunc = None
    try:
        kfunc = btf.find_kfunc()
        return require_kfunc(), None
    except UnsupportedError as problem:
        return kfunc, problem


def _with_cure(problem: UnsupportedError, lack: UnsupportedError | None) -> UnsupportedError:
    """Name the one command that comes next: for the module, or for what its build lacks."""
    if lack:
        return UnsupportedError(f"{problem.why}, and no module for it: {lack.why}", lack.hint)
    sudo = "" if os.geteuid() == 0 else "sudo "
    return UnsupportedError(problem.why, f"{sudo}oomctl kfunc load")


def _in_kernel() -> bool:
    """Say so where the running kernel has the kfunc without a module."""
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
