"""A kernel in Debian packages that the user has, such as those of `make bindeb-pkg`."""

import glob
import hashlib
from pathlib import Path

from oomctl import cache
from oomctl.errors import UsageError
from oomctl.lab import apt, cached, suites, tools, unpack
from oomctl.lab.apt import Package
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.proc import programs

_IMAGE = "linux-image-"
_FIELDS = ("Package", "Version", "Depends")


def get(deb: Path) -> Kernel:
    """Unpack a linux-image package into the cache, with its other parts and headers beside it.

    UsageError if it is not one, or a part that it depends on is missing.
    """
    tools.require_python_debian()
    package = _read(deb)
    release = package.name.removeprefix(_IMAGE).removesuffix("-unsigned")
    if not package.name.startswith(_IMAGE):
        raise UsageError(
            f"--kernel: {deb} is the package {package.name}, which has no kernel image",
            "give that of linux-image-RELEASE",
        )
    beside = _beside(deb, package)
    known = {name: each for name, (each, _path) in beside.items()}
    wanted = apt.closure([package.name, f"linux-headers-{release}"], known)
    if missing := [
        name for each in wanted for name in apt.parts_of(known[each]) if name not in known
    ]:
        raise UsageError(
            f"--kernel: {deb} needs {', '.join(sorted(set(missing)))}",
            f"put these packages beside it, into {deb.absolute().parent}",
        )
    files = [beside[name][1] for name in wanted]
    home = cached.home(f"{release}-{_key(files)}")
    with cache.locked("kernels", doing="unpacking a kernel", patience=suites.FETCH_SECONDS):
        return cached.find(home.name) or unpack.unpack(
            lambda _folder: files, release, home, Flavour.PACKAGE
        )


def _read(deb: Path) -> Package:
    status, text = programs.run("dpkg-deb", "-f", str(deb), *_FIELDS)
    packages = [] if status else apt.parse_packages(text)
    if len(packages) != 1:
        raise UsageError(
            f"--kernel: {deb} is not a Debian package, or is truncated", "copy it again"
        )
    return packages[0]


def _beside(deb: Path, package: Package) -> dict[str, tuple[Package, Path]]:
    """Return the packages of the same version in the same folder, by name, and the given one."""
    version = package.version.rpartition(":")[2]  # a file's name is without the epoch
    paths = deb.absolute().parent.glob(f"linux-*_{glob.escape(version)}_*.deb")
    found = {each.name: (each, path) for path in paths for each in [_read(path)]}
    return found | {package.name: (package, deb.absolute())}


def _key(files: list[Path]) -> str:
    """Name the files without reading all of them: by path, size and time."""
    texts = (f"{file}\0{file.stat().st_size}\0{file.stat().st_mtime_ns}\0" for file in files)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:8]
