"""Compiles what the package carries: the BPF objects, and hog and caller for each architecture.

A build hook of hatchling, and a script (`python hatch_build.py`) for `make build`.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
BUILT = ROOT / "oomctl" / "built"
TARGETS = ("x86_64", "aarch64")
PROGRAMS = ("hog", "caller")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def commands() -> dict[str, list[str]]:
    """Return the compiler's command for each file to be made, sources relative to ROOT."""
    bpf = ["clang", "-target", "bpf", "-mcpu=v3", "-g", "-O2", *WARNINGS, "-c"]
    bpf += ["-fdebug-compilation-dir=."]  # the same bytes wherever it is built
    sources = sorted((ROOT / "bpf").rglob("*.bpf.c"))
    made = {
        source.with_suffix(".o").name: [*bpf, str(source.relative_to(ROOT))] for source in sources
    }
    freestanding = ["-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld", "-fno-pie"]
    freestanding += [
        "-fno-stack-protector",
        "-fno-asynchronous-unwind-tables",
        "-Wl,--build-id=none",
        "-Wl,--no-rosegment",  # what is resident of it is counted in pages: two
    ]
    for machine, program in product(TARGETS, PROGRAMS):
        target = ["-target", f"{machine}-linux-gnu", "-Oz", "-s", *WARNINGS, *freestanding]
        made[f"{program}.{machine}"] = ["clang", *target, *_sources(program)]
    return made


def _sources(program: str) -> list[str]:
    folders = [ROOT / "oomctl" / name for name in (program, "freestanding")]
    return sorted(str(path.relative_to(ROOT)) for each in folders for path in each.glob("*.c"))


def is_current(names: Iterable[str]) -> bool:
    """Tell whether these exist and none of their sources, nor this file, is younger."""
    sources = [Path(__file__), *(ROOT / "bpf").rglob("*.[ch]")]
    sources += (ROOT / "oomctl").glob("*/*.[ch]")
    try:
        oldest = min((BUILT / name).stat().st_mtime_ns for name in names)
    except FileNotFoundError:
        return False
    return oldest >= max(source.stat().st_mtime_ns for source in sources)


def compile_all() -> None:
    """Compile everything into oomctl/built, or keep what an sdist brought if clang is missing."""
    wanted = commands()
    if is_current(wanted):
        return
    if shutil.which("clang") is None:
        missing = [name for name in wanted if not (BUILT / name).exists()]
        if missing:
            sys.exit(
                f"oomctl: clang is needed to build {', '.join(missing)}; "
                "run `apt install clang lld libbpf-dev`"
            )
        return
    BUILT.mkdir(exist_ok=True)
    for name, command in wanted.items():
        done = subprocess.run(
            [*command, "-o", str(BUILT / name)],
            cwd=ROOT,
            check=False,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            sys.exit(
                f"oomctl: clang failed on {name}; if a header or the linker is missing, "
                f"run `apt install clang lld libbpf-dev`\n{done.stderr}"
            )


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Runs the compiler before hatchling collects files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before a wheel, an sdist or an editable install is put together."""
        compile_all()


if __name__ == "__main__":
    compile_all()
