"""A kernel's build folder: its kernel, and how to build a module against it."""

import platform
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from oomctl import commandline
from oomctl.errors import UnsupportedError
from oomctl.proc import programs

NEEDED = (
    "MODULES",
    "MEMCG",
    "BPF_SYSCALL",
    "BPF_JIT",
    "DEBUG_INFO_BTF_MODULES",
    "KPROBES",
    "KALLSYMS_ALL",
)
UNKNOWN = "unknown"
_IN_EVERY_KERNEL = "out_of_memory"
_RELEASE = re.compile(r"[!-.0-~]{1,64}")
_TOOLS = {"make": "make", "pahole": "dwarves", "readelf": "binutils"}
_TOOLCHAIN = {"gcc": ("gcc",), "clang": ("clang", "lld", "llvm")}
_TARGETS = {"X86_64": ("x86_64", "x86"), "ARM64": ("aarch64", "arm64")}
"""By the option that each kernel of an architecture has: `uname -m`, and ARCH of its makefiles."""


@dataclass(frozen=True)
class Compiler:
    """The compiler that built a kernel: "gcc" or "clang", and its major version.

    `machine` is the architecture for which gcc is to be a cross compiler, "" for this one.
    """

    family: str
    major: int
    machine: str = ""

    @property
    def packages(self) -> list[str]:
        """Its packages on Debian and its derivatives."""
        suffix = "-" + self.prefix.replace("_", "-").rstrip("-") if self.is_cross else ""
        return [f"{name}-{self.major}{suffix}" for name in _TOOLCHAIN[self.family]]

    @property
    def prefix(self) -> str:
        """What the names of its programs begin with (CROSS_COMPILE of the kernel's makefiles)."""
        return f"{self.machine}-linux-gnu-" if self.is_cross else ""

    @property
    def is_cross(self) -> bool:
        """Whether it is a program of its own for another architecture; clang is one for all."""
        return bool(self.machine) and self.family == "gcc"


def headers_of(release: str) -> Path:
    """Return the path of the build folder of an installed kernel."""
    return Path("/lib/modules") / release / "build"


def release_of(headers: Path) -> str:
    """Return the release (`uname -r`) of a build folder, UNKNOWN if it does not name one."""
    try:
        text = (headers / "include/config/kernel.release").read_text(errors="replace").strip()
    except OSError:
        return UNKNOWN
    return text if is_release(text) else UNKNOWN


def is_release(text: str) -> bool:
    """Return whether a text may be a kernel's release; it is used as a folder name too."""
    return bool(_RELEASE.fullmatch(text)) and text not in (".", "..")


def read_config(headers: Path) -> dict[str, str]:
    """Return {option without CONFIG_: value}; UnsupportedError if it is not a build folder."""
    if not headers.is_dir():
        release = headers.parent.name if headers.name == "build" else "$(uname -r)"
        raise UnsupportedError(
            f"{headers}: no kernel headers there",
            f"apt install linux-headers-{release}, or use {commandline.in_lab()}",
        )
    auto, makefile = headers / "include/config/auto.conf", headers / "Makefile"
    for file in (auto, makefile):
        if not file.exists():
            raise UnsupportedError(
                f"{headers} is not a prepared kernel build folder: it has no "
                f"{file.relative_to(headers)}",
                "name the folder that a kernel was built in, or one of a linux-headers package",
            )
    for included in re.findall(
        r"^include\s+(/\S+)", makefile.read_text(errors="replace"), re.MULTILINE
    ):
        if not Path(included).exists():
            raise UnsupportedError(
                f"{makefile} includes {included}, which does not exist",
                "install the package, or edit that line if it was only unpacked",
            )
    return parse_config(auto.read_text(errors="replace"))


def parse_config(text: str) -> dict[str, str]:
    """Parse a .config or auto.conf into {option without CONFIG_: value}, strings unquoted."""
    return dict(re.findall(r'^CONFIG_(\w+)="?(.*?)"?$', text, re.MULTILINE))


def compiler_of(config: dict[str, str]) -> Compiler:
    """Return the compiler of the kernel; UnsupportedError if the configuration names none."""
    for family, option in (("gcc", "GCC_VERSION"), ("clang", "CLANG_VERSION")):
        # 120200 is 12.2.0; the option of the other compiler is 0.
        version = config.get(option, "")
        if version.isdigit() and int(version):
            return Compiler(family, int(version) // 10000)
    raise UnsupportedError(
        "the kernel's configuration names neither gcc nor clang as its compiler",
        "use the folder that the kernel itself was built in",
    )


def require(headers: Path) -> tuple[str, ...]:
    """Return the arguments that make needs to build against this folder.

    UnsupportedError names what the kernel or this machine lacks.
    """
    config = read_config(headers)
    off = [f"CONFIG_{option}" for option in NEEDED if config.get(option) != "y"]
    if off:
        raise UnsupportedError(
            f"the kernel of {headers} is built without {', '.join(off)}, which the module needs",
            f"build bpf/kernel/bpf_oom_kfunc.c into the kernel, or use {commandline.in_lab()}",
        )
    if not (headers / "vmlinux").exists():
        raise UnsupportedError(
            f"{headers} has no vmlinux: the module would get no BTF: its kfunc could not be found",
            f"for the running kernel: cp /sys/kernel/btf/vmlinux {shlex.quote(str(headers))}/",
        )
    compiler, cross = compiler_of(config), []
    for option, (machine, arch) in _TARGETS.items():
        if option in config and machine != platform.machine():
            compiler = replace(compiler, machine=machine)
            cross = [f"ARCH={arch}", f"CROSS_COMPILE={compiler.prefix}"]
    command = find(compiler)
    packages = [package for name, package in _TOOLS.items() if programs.which(name) is None]
    if command is None:
        packages += compiler.packages
    if command is None or packages:
        raise UnsupportedError(
            f"to build for {headers} this machine lacks {', '.join(packages)}",
            f"apt install {' '.join(packages)}",
        )
    if compiler.family == "clang":
        return (*cross, f"LLVM={command.removeprefix('clang') or 1}")
    return (*cross, f"CC={command}")


def find(compiler: Compiler) -> str | None:
    """Return the name of this compiler in its major version on this machine, or None."""
    name = f"{compiler.prefix}{compiler.family}"
    numbered = f"{name}-{compiler.major}"
    if programs.which(numbered):
        return numbered
    _status, version = programs.run(name, "-dumpversion")
    return name if version.split(".")[0].strip() == str(compiler.major) else None


def has_kfunc(headers: Path, kfunc: str) -> bool | None:
    """Return whether the kernel of a build folder has the kfunc; None if it is not known."""
    return names(headers / "vmlinux", kfunc)


def names(file: Path, kfunc: str) -> bool | None:
    """Return whether a vmlinux or System.map names the kfunc; None if it names no functions.

    That is a stripped vmlinux, or the System.map of Debian's packages, which only has the path of
    the real one.
    """
    for name, found in ((kfunc, True), (_IN_EVERY_KERNEL, False)):
        status, _output = programs.run("grep", "-qaw", name, str(file))
        if status == 0:
            return found
    return None
