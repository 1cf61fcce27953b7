"""The root of a guest of another architecture: Debian's programs for it, and wheels for its Python.

oomctl itself and what is pure Python beside it are taken from this machine, where they are.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import oomctl
from oomctl import cache, console
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import apt, suites, unpack
from oomctl.lab.architecture import Architecture
from oomctl.proc import programs

PYTHON = "/usr/bin/python3"
_PACKAGES = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "procps"),
    *("sed", "kmod", "mount", "util-linux", "libbpf1", "python3", "busybox-static"),
)
_WHEELS = "opt/oomctl"
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OOMCTL = f'#!/bin/sh\nexec {PYTHON} -m oomctl "$@"\n'


@contextmanager
def in_use(guest: Architecture) -> Iterator[Path]:
    """Yield the folder that is a guest's root, and prevent its removal during the block.

    It is / for a guest of this machine's architecture; else it is made if the cache has none.
    """
    if guest.is_native:
        yield Path("/")
        return
    while True:
        made = _get(guest)
        with cache.in_use(made) as there:
            if there:
                yield made
                return


def find(guest: Architecture) -> Path:
    """Return the folder that is a guest's root; UsageError if it is not there yet."""
    made = Path("/") if guest.is_native else _home(guest)
    if not made.is_dir():
        raise UsageError(
            f"the root of a guest for {guest.debian} was not fetched yet",
            "oomctl lab fetch" + f" --arch {guest.debian}",
        )
    return made


def folders(root: Path, *others: Path | None) -> tuple[Path, ...]:
    """Return this machine's folders that a guest needs beside its root, none inside of another.

    `others` are taken unless the root has them.
    """
    if root == Path("/"):
        return ()
    wanted = {each for each in others if each and not (root / str(each).lstrip("/")).exists()}
    wanted |= {_package(), *(Path(str(one.locate_file(""))) for one in _distributions())}
    outer = sorted(one for one in wanted if wanted.isdisjoint(one.parents))
    return tuple(outer)


def environment() -> dict[str, str]:
    """Return the variables by which a guest finds its wheels, and oomctl of this machine."""
    pure = {Path(str(one.locate_file(""))) for one in _distributions()}
    places = [Path("/", _WHEELS), _package(), *sorted(pure - {_package()})]
    return {"PATH": _PATH, "PYTHONPATH": ":".join(map(str, places))}


def _get(guest: Architecture) -> Path:
    home = _home(guest)
    if home.is_dir():
        return home
    doing = f"fetching a root for {guest.debian}"
    with cache.locked("roots", doing=doing, patience=suites.FETCH_SECONDS):
        if not home.is_dir():
            cache.require_space(suites.KERNEL_SPACE, doing)
            console.progress(f"fetching programs for {guest.debian}")
            with (
                cache.scratch("root-") as folder,
                suites.open_archive(apt.machine_codename(), guest.debian) as archive,
            ):
                _make(guest, archive.fetch_all(_PACKAGES, folder), folder / "root")
                (folder / "root").rename(home)
            for other in home.parent.glob(f"{guest.debian}-*/"):
                if other != home:
                    cache.remove_unused(other)
    return home


def _make(guest: Architecture, packages: list[Path], root: Path) -> None:
    """Unpack packages, and do the little that their scripts would do of which a guest has need."""
    root.mkdir()
    for package in packages:
        unpack.run("dpkg", "-x", str(package), str(root))
    for name in ("passwd", "group"):
        master = root / "usr/share/base-passwd" / f"{name}.master"
        (root / "etc" / name).write_bytes(master.read_bytes())
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    command = root / "usr/local/bin/oomctl"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(_OOMCTL)
    command.chmod(0o755)
    version = (root / PYTHON.lstrip("/")).readlink().name.removeprefix("python")
    _fetch_wheels(guest, version, root / _WHEELS)


def _fetch_wheels(guest: Architecture, python: str, into: Path) -> None:
    """Have pip unpack the wheels of this machine's compiled packages for another architecture."""
    tags = [word for each in _PLATFORMS for word in ("--platform", f"{each}_{guest.machine}")]
    words = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", *tags]
    words += ["--only-binary", ":all:", "--python-version", python, "--target", str(into)]
    console.progress(f"fetching {', '.join(_compiled())} for {guest.debian}")
    status, output = programs.run(sys.executable, "-m", "pip", *words, *_compiled())
    if status:
        why = (output.strip().splitlines() or [f"exit {status}"])[-1]
        raise OomctlError(
            f"pip cannot fetch {', '.join(_compiled())} for {guest.debian}: {why}",
            f"see whether `{sys.executable} -m pip` works on this machine",
            output,
        )


def _home(guest: Architecture) -> Path:
    parts = [apt.machine_codename(), _OOMCTL, *_PACKAGES, *_compiled()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    return cache.place("roots", f"{guest.debian}-{key}")


def _package() -> Path:
    return Path(oomctl.__file__).parents[1]


def _compiled() -> list[str]:
    """Return the packages that are not pure Python, as NAME==VERSION."""
    return sorted(
        f"{one.name}=={one.version}"
        for one in _distributions()
        if "Root-Is-Purelib: false" in (one.read_text("WHEEL") or "")
    )


def _distributions() -> list[metadata.Distribution]:
    """Return the installed packages that oomctl needs, and those that they need."""
    found: dict[str, metadata.Distribution] = {}
    names = _required("oomctl")
    while names:
        name = names.pop()
        if name not in found:
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:  # not needed on this Python
                continue
            names += _required(name)
    return list(found.values())


def _required(name: str) -> list[str]:
    """Return the names that a package requires, but for its extras."""
    lines = [line for line in metadata.requires(name) or [] if "extra ==" not in line]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines]
