"""The source of a kernel: a tree, a tarball, or the newest linux-source that Debian offers."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oomctl import cache, console
from oomctl.errors import OomctlError, UsageError
from oomctl.files.digest import sha256
from oomctl.lab import apt, suites
from oomctl.lab.apt import Archive
from oomctl.proc import programs

_KERNEL_FILES = ("Makefile", "Kconfig", "mm/Makefile", "mm/oom_kill.c")
_SERIES = r"linux-source-7\.[0-9]+"
_MANIFEST = ".oomctl-files"


@dataclass(frozen=True)
class Source:
    """A tree, or a tarball of one; `name` is for people and for the folder that it is built in.

    `origin` tells sources apart whose objects can be used again for each other: the content of a
    tarball, the path of a tree.
    """

    path: Path
    name: str
    origin: str

    def place(self, into: Path) -> str:
        """Bring the source into a folder, or bring the folder up to date; return its content's key.

        A half of it that an interrupted oomctl has left there is completed.
        """
        if self.path.is_dir():
            return _copy(self.path, into)
        if not into.is_dir():
            _unpack(self.path, into)
        return self.origin


def given(path: Path) -> Source:
    """Return the source of a tree or a tarball; UsageError if it is neither."""
    if path.is_dir():
        _require_kernel(path, str(path))
        if not (path / ".git").exists() and (path / ".config").exists():
            raise UsageError(
                f"--source: {path} was built in, and is no git tree that tells what is source",
                "run `make mrproper` in it, or give a clone",
            )
        whole = path.resolve()
        return Source(whole, whole.name, f"tree {whole}")
    if not path.is_file():
        raise UsageError(f"--source: {path} does not exist", "give a kernel tree or a tarball")
    return Source(path.absolute(), re.sub(r"\.tar\b.*", "", path.name), sha256(path))


def newest(update: bool) -> Source:
    """Return Debian's newest linux-source of 7.x from the cache, or fetch it.

    With `update` the archive is asked for a newer one. UsageError if there is none.
    """
    folder = cache.folder("sources")
    with cache.locked("sources", doing="fetching a source", patience=suites.FETCH_SECONDS):
        known = sorted(folder.glob("*.tar.xz"), key=lambda path: path.stat().st_mtime)
        if known and not update:
            return given(known[-1])
        cache.require_space(suites.SOURCE_SPACE, "fetching a source")
        with suites.open_all([*suites.own(), *suites.newer()]) as archives:
            offered = [
                (package, archive) for archive in archives for package in archive.named(_SERIES)
            ]
            if not offered:
                raise UsageError(
                    "Debian offers no linux-source of 7.x to this machine", "give --source"
                )
            package, archive = max(offered, key=lambda pair: apt.order(pair[0]))
            version = package.version.rpartition(":")[2]
            tarball = folder / f"{package.name}_{version}.tar.xz"
            if not tarball.exists():
                _fetch(archive, package.name, tarball)
            os.utime(tarball)
    return given(tarball)


def _fetch(archive: Archive, package: str, tarball: Path) -> None:
    console.progress(f"fetching {tarball.name} (about 160 MB)")
    with cache.scratch("source-") as scratch:
        archive.fetch([package], scratch)
        (deb,) = scratch.glob("*.deb")
        status, output = programs.run("dpkg-deb", "-x", str(deb), str(scratch))
        if status:
            raise OomctlError(f"dpkg-deb failed on {deb.name}", detail=output)
        (found,) = scratch.glob("usr/src/*.tar.xz")
        found.replace(tarball)


def _unpack(tarball: Path, into: Path) -> None:
    """Unpack beside the folder, which gets its name when all of it is there."""
    console.progress(f"unpacking {tarball.name}")
    new = into.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    words = ["-C", str(new), "--strip-components=1", "--no-same-owner"]
    status, output = programs.run("tar", "-xf", str(tarball), *words)
    if status:
        why = (output.strip().splitlines() or ["no reason given"])[0]
        raise UsageError(f"cannot unpack {tarball}: {why}", "give a whole tarball", output)
    _require_kernel(new, str(tarball))
    new.rename(into)


def _require_kernel(tree: Path, name: str) -> None:
    lacks = [file for file in _KERNEL_FILES if not (tree / file).is_file()]
    if lacks:
        raise UsageError(
            f"--source: {name} is not a kernel source tree: it has no {lacks[0]}",
            "give the folder with the kernel's own Makefile",
        )


def _copy(tree: Path, into: Path) -> str:
    """Copy what has changed since the last time, so that make builds no more than that."""
    console.progress(f"reading {tree}")
    digest = hashlib.sha256()
    names = sorted(_files(tree))
    manifest = into / _MANIFEST
    before = set(manifest.read_text().split("\0")) if manifest.exists() else set()
    into.mkdir(parents=True, exist_ok=True)
    manifest.write_text("\0".join({*names, *before}))
    for name in names:
        old, new = tree / name, into / name
        if old.is_symlink():
            digest.update(f"{name}\0{old.readlink()}\0".encode())
            if not new.is_symlink() or new.readlink() != old.readlink():
                new.parent.mkdir(parents=True, exist_ok=True)
                new.unlink(missing_ok=True)
                new.symlink_to(old.readlink())
            continue
        digest.update(f"{name}\0{sha256(old)}\0".encode())
        if _differs(old, new):
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old, new)
    for name in before.difference(names, [""]):
        (into / name).unlink(missing_ok=True)
    manifest.write_text("\0".join(names))
    return digest.hexdigest()


def _files(tree: Path) -> Iterator[str]:
    """Yield the source files of a tree: those that git knows or would, else all."""
    if (tree / ".git").exists():
        words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        status, output = programs.run("git", "-c", "safe.directory=*", "-C", str(tree), *words)
        if status:
            raise OomctlError(f"git ls-files failed in {tree}", "see -v", output)
        yield from (name for name in output.split("\0") if name and os.path.lexists(tree / name))
        return
    for folder, _folders, files in os.walk(tree):
        yield from (str(Path(folder, file).relative_to(tree)) for file in files)


def _differs(old: Path, new: Path) -> bool:
    try:
        a, b = old.stat(), new.stat()
    except FileNotFoundError:
        return True
    return (a.st_size, a.st_mtime_ns) != (b.st_size, b.st_mtime_ns)
