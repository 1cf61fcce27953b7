"""Builds a small kernel for the lab, with the kfunc as one more file of its mm/."""

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oomctl import cache, console, resources
from oomctl.bpf.btf import KFUNC
from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.kmod import kbuild
from oomctl.lab import cached, fitness, guest_kernel, make
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.source import Source
from oomctl.proc import programs

_HERE = Path(__file__).parent
_FILE = "bpf_oom_kfunc.c"
# not the name above: a tree may have that file of its own
_ADDED, _LINE = "oomctl_kfunc.c", "obj-y += oomctl_kfunc.o"
_IMAGE = "arch/x86/boot/bzImage"
_PATIENCE = 6 * 3600.0
"""How long to wait for another oomctl that builds."""
_SPACE = 4 << 30
"""Bytes that a source and its objects take."""
_PROGRAMS = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "pahole": "dwarves",
    "xz": "xz-utils",
    "depmod": "kmod",
}
_HEADERS = {"gelf.h": "libelf-dev", "openssl/bio.h": "libssl-dev"}


@dataclass(frozen=True)
class Plan:
    """What is built: all that the result depends on, and for how many compilers at once.

    `config` is the text of all fragments; `kfunc` the C file, left out if the source has the kfunc.
    """

    source: Source
    flavour: Flavour
    config: str
    kfunc: bytes
    compiler: str
    jobs: int

    @property
    def tree(self) -> str:
        """The name of the folder with the source and the objects; make sees what has changed."""
        key = _key(self.source.origin, self.compiler, _ADDED)
        return f"{self.source.name}-{self.flavour}-{key}"

    def key(self, content: str) -> str:
        """Name the result, by the key of the source's content."""
        return _key(content, self.config, self.kfunc.hex(), self.compiler)


def plan(source: Source, flavour: Flavour, fragments: Sequence[Path], jobs: int | None) -> Plan:
    """Return what to build; UsageError names a fragment that cannot be read."""
    own = [_HERE / "kernel.config", *[_HERE / f"kernel-{flavour}.config"] * (flavour != "plain")]
    texts = [path.read_text() for path in own] + [*map(_read_fragment, fragments)]
    _status, version = programs.run("gcc", "--version")
    kfunc = (resources.kernel_sources() / _FILE).read_bytes()
    jobs = jobs or len(os.sched_getaffinity(0))
    return Plan(source, flavour, "\n".join(texts), kfunc, version.partition("\n")[0], jobs)


def _read_fragment(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--config {path}: {why}", "give lines CONFIG_X=y in a file") from None


def build(wanted: Plan) -> Kernel:
    """Return the kernel of a plan: from the cache, or built now.

    A build that was interrupted goes on where it was. OomctlError if make fails.
    """
    with (
        cache.locked("builds", doing=f"building {wanted.tree}", patience=_PATIENCE),
        cache.in_use(folder := cache.folder("builds", wanted.tree)) as is_there,
    ):
        if not is_there:
            raise OomctlError(f"{folder} was just removed", "try again")
        os.utime(folder)
        tree, objects = folder / "source", folder / "objects"
        if not objects.exists():
            cache.require_space(_SPACE, "a build")
        key = wanted.key(wanted.source.place(tree))
        if found := _find(key):
            return found
        objects.mkdir(exist_ok=True)
        _add_kfunc(tree, wanted.kfunc)
        log = folder / "make.log"
        log.unlink(missing_ok=True)
        words = ["-C", str(tree), f"O={objects}"]
        _configure(wanted.config, objects, words, log)
        began = time.monotonic()
        release = wanted.source.name
        make.run([*words, f"-j{wanted.jobs}", "bzImage"], f"building {release}", log)
        return _install(objects, wanted.flavour, key, time.monotonic() - began)


def require_tools() -> None:
    """Raise UnsupportedError if this machine cannot build; it names all that is missing at once."""
    if platform.machine() != "x86_64":
        raise UnsupportedError(f"the lab builds kernels for x86_64, not {platform.machine()}")
    missing = {package for name, package in _PROGRAMS.items() if programs.which(name) is None}
    if "gcc" not in missing:
        for header, package in _HEADERS.items():
            status, _said = programs.run("gcc", "-E", "-include", header, "-x", "c", os.devnull)
            missing |= {package} if status else set()
    if missing:
        raise UnsupportedError(
            f"to build a kernel this machine lacks {', '.join(sorted(missing))}",
            f"apt install {' '.join(sorted(missing))}",
        )


def _find(key: str) -> Kernel | None:
    return next(
        (
            found
            for place in cached.home().glob(f"*-{key}")
            if cached.flavour_of(place) in cached.BUILT and (found := cached.find(place.name))
        ),
        None,
    )


def _add_kfunc(tree: Path, source: bytes) -> None:
    """Add the kfunc to mm/, unless the tree has it; files that need no change keep their times."""
    words = ["-rqw", "--include=*.c", f"--exclude={_ADDED}", KFUNC]
    status, _output = programs.run("grep", *words, str(tree / "mm"), str(tree / "kernel"))
    makefile, file = tree / "mm/Makefile", tree / "mm" / _ADDED
    lines = [line for line in makefile.read_text().splitlines() if line != _LINE]
    if status == 0:
        console.progress(f"the source has {KFUNC}() itself")
        file.unlink(missing_ok=True)
    else:
        lines.append(_LINE)
        if not file.exists() or file.read_bytes() != source:
            file.write_bytes(source)
    text = "\n".join(lines) + "\n"
    if makefile.read_text() != text:
        makefile.write_text(text)


def _configure(config: str, objects: Path, words: Sequence[str], log: Path) -> None:
    """Make the configuration, unless it is there; say which lines the kernel did not take."""
    wanted, made = objects / "wanted.config", objects / ".config"
    if made.exists() and wanted.exists() and wanted.read_text() == config:
        return
    new = wanted.with_suffix(".new")
    new.write_text(config)
    make.run([*words, f"KCONFIG_ALLCONFIG={new}", "allnoconfig"], "configuring", log)
    new.replace(wanted)
    taken = kbuild.parse_config(made.read_text())
    for option, value in kbuild.parse_config(config).items():
        if taken.get(option, "n") != value:
            console.note(f"the kernel did not take CONFIG_{option}={value}")


def _install(objects: Path, flavour: Flavour, key: str, seconds: float) -> Kernel:
    """Put the image and what belongs to it into the cache, all at once."""
    release = kbuild.release_of(objects)
    home = cached.home(f"{release}-{key}")
    with cache.scratch("built-") as folder:
        root = folder / "root"
        boot, modules = root / "boot", root / "lib/modules" / release
        for place in (boot, modules):
            place.mkdir(parents=True)
        for name, file in (
            ("vmlinuz", _IMAGE),
            ("config", ".config"),
            ("System.map", "System.map"),
        ):
            shutil.copy(objects / file, boot / f"{name}-{release}")
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            if (objects / name).exists():
                shutil.copy(objects / name, modules)
        (modules / "modules.order").touch()
        status, output = programs.run("depmod", "-b", str(root), release)
        if status:
            raise OomctlError("depmod failed on the new kernel", "see -v", output)
        cached.stamp(root, flavour, seconds)
        fitness.require(guest_kernel.find(root), kfunc=True)
        cache.remove_unused(home)
        root.rename(cache.folder("kernels") / home.name)
    return guest_kernel.find(home)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
