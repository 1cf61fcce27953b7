"""The files of this Python with oomctl's modules, packed for a guest, where one waits with them.

A guest's Python has them in a folder of the initramfs, at the paths that they have here. What it
can do as if it had just been started is decided here, by what its modules are and have read.
"""

import contextlib
import filecmp
import hashlib
import json
import marshal
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import oomctl
from oomctl import cache, console
from oomctl.files import digest
from oomctl.kmod import elf
from oomctl.lab import initramfs

_FOLDER = "python"
_ENVIRONMENT = {"HOME": "/root"}
_SECONDS = 60.0
_SCRIPTS = ("oomctl", "bpf-oomctl")
_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)
"""What follows the magic number if bytecode is not to be compared with its source (PEP 552)."""
_OWN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Variables of Python's start that a child of the one that waits can have."""
_STARTS = ("PYTHON", "LC_", "LANG", "LD_", "GLIBC_", "MALLOC_")
"""How others begin that a process heeds only as it starts."""


@dataclass(frozen=True)
class Packed:
    """What a Python with oomctl's modules has loaded, as lab/loaded.py prints it.

    `tops` are the folders of sys.path in which modules were found, `variables` what it has read of
    its environment; `identities` tell the files from later ones, `beside` the folders' names.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    tops: Mapping[str, str]
    variables: Mapping[str, str | None]
    identities: tuple[str, ...]
    beside: str

    @cached_property
    def digest(self) -> str:
        """The name of all that has the same files."""
        return hashlib.sha256("\0".join(self.identities).encode()).hexdigest()[:24]

    @property
    def start(self) -> bytes:
        """Shell text that becomes the Python that waits, once its root is the folder."""
        words = [_python(), "-m", "oomctl.lab.waiting"]
        variables = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        command = ["exec", "env", "-i", *variables, "chroot", f"/{_FOLDER}", *words]
        return shlex.join(command).encode() + b"\n"

    def archive(self) -> bytes:
        """Return the files as they are unpacked in a guest; OSError if one is gone."""
        files: dict[str, bytes] = {f"{_FOLDER}/start": self.start}
        links: dict[str, str] = {}
        for path in self.files:
            for link, to in _links(path):
                links[_FOLDER + link] = to
            real = Path(path).resolve()
            for name, data in _contents(path, real):
                files[_FOLDER + name] = data
        folders = [_FOLDER + str(Path(each).resolve()) for each in self.folders]
        return initramfs.archive(files, [*folders, f"{_FOLDER}/proc"], links)

    def request(self, words: Sequence[str], environment: Mapping[str, str], cwd: str) -> str:
        """Return what the Python that waits is to be asked for words; "" if they are not for it.

        That is so if they do not start this very oomctl, and if the Python that they start could
        have other modules than the one that waits, or a start that it cannot have.
        """
        program = started(words, environment)
        if program is None:
            return ""
        python, first = program
        path = [cwd if first[1:2] == ["-m"] else str(Path(first[1]).parent)]
        path += filter(None, environment.get("PYTHONPATH", "").split(":"))
        others = {name for name in environment if name.startswith(_STARTS)} - {*_OWN}
        read = {name: environment.get(name) for name in self.variables}
        if others or read != self.variables or any(map(self._hides, path)):
            return ""
        asked = {
            "python": python,
            "words": [*first, *words[3 if first[1] == "-m" else 1 :]],
            "environment": {**environment, "PWD": cwd},
            "path": path,
        }
        return json.dumps(asked)

    def _hides(self, folder: str) -> bool:
        """Tell whether a folder that is searched first has a module of that name."""
        names = {name.partition(".")[0] for name in _modules(folder)}
        return any(self.tops[name] not in ("", folder) for name in names & self.tops.keys())


def started(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """Return the Python that words start for this oomctl, and its own first words; else None.

    They are `oomctl ...`, by a script as pip writes it, or `python -m oomctl ...`.
    """
    program = shutil.which(words[0], path=environment.get("PATH", "")) if words else None
    if program is None:
        return None
    if Path(program).name in _SCRIPTS:
        with contextlib.suppress(OSError):
            first = Path(program).read_bytes().partition(b"\n")[0]
            python = os.fsdecode(first.removeprefix(b"#!").strip())
            if first.startswith(b"#!") and _is_ours(python):
                return python, [python, program]
    elif [*words[1:3]] == ["-m", "oomctl"] and _is_ours(program):
        return program, [words[0], "-m", "oomctl"]
    return None


def _is_ours(python: str) -> bool:
    """Tell whether a program is this Python, by any name in its folder: a link, or a copy."""
    here, other = Path(sys.executable), Path(python)
    if other.parent != here.parent:
        return False
    with contextlib.suppress(OSError):
        return other.resolve() == here.resolve() or filecmp.cmp(other, here, shallow=False)
    return False


def _python() -> str:
    """Return this Python by the name that scripts have, whichever has started this process."""
    usual = str(Path(sys.executable).with_name("python3"))
    return usual if _is_ours(usual) else sys.executable


def find() -> Packed | None:
    """Return what a Python has loaded, from the cache if nothing has changed; None if it cannot."""
    name = hashlib.sha256(f"{_python()} {oomctl.__file__}".encode()).hexdigest()[:16]
    place = cache.place("pythons", f"{name}.json")
    kept = _read(place)
    if kept and kept.identities == _identities(kept.files) and kept.beside == _beside(kept.folders):
        return kept
    made = _asked()
    if made:
        new = cache.folder("pythons") / f"{name}.{os.getpid()}"
        new.write_text(json.dumps(asdict(made)))
        new.rename(place)
    return made


def _read(place: Path) -> Packed | None:
    try:
        found = json.loads(place.read_text())
        for name in ("files", "folders", "identities"):
            found[name] = tuple(found[name])
        return Packed(**found)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _asked() -> Packed | None:
    """Ask a new Python what it has loaded."""
    words = [_python(), "-m", "oomctl.lab.loaded"]
    try:
        done = subprocess.run(
            words, cwd="/", env=_ENVIRONMENT, capture_output=True, check=True, timeout=_SECONDS
        )
        found = json.loads(done.stdout)
        if found["tops"]["oomctl"] != str(Path(oomctl.__file__).parents[1]):
            raise ValueError("it has another oomctl")
        files = tuple(path for path in found["files"] if Path(path).is_file())
        folders = tuple(found["folders"])
        identities, beside = _identities(files), _beside(folders)
        return Packed(files, folders, found["tops"], found["variables"], identities, beside)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        console.detail(f"no Python waits in the guest: {error}")
        return None


def _identities(files: Iterable[str]) -> tuple[str, ...]:
    return tuple(digest.identity(file) for file in files)


def _beside(folders: Iterable[str]) -> str:
    """Return a hash of the names in folders that may be modules, or say where others are."""
    names = [name for folder in folders for name in (folder, *sorted(_modules(folder)))]
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _modules(folder: str) -> Iterator[str]:
    """Yield the names in a folder that may be modules, or say where others are."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".py", ".pth", *EXTENSION_SUFFIXES)) or entry.is_dir():
                yield entry.name


def _links(path: str) -> Iterator[tuple[str, str]]:
    """Yield the symbolic links on the way to a file, with their targets."""
    parts = Path(path).parts
    for end in range(2, len(parts) + 1):
        part = Path(*parts[:end])
        if part.is_symlink():
            yield str(part), str(part.readlink())
            rest = part.parent / part.readlink() / Path(*parts[end:])
            yield from _links(os.path.normpath(rest))
            return


def _contents(path: str, real: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a file by its real name; of a module its bytecode, beside a source that is not read."""
    if real.suffix != ".py":
        yield str(real), elf.loaded(real.read_bytes())
        return
    code = SourceFileLoader("packed", path).get_code("packed")
    compiled = f"{real.stem}.{sys.implementation.cache_tag}.pyc"
    yield str(real), b""
    yield (
        str(real.parent / "__pycache__" / compiled),
        MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code),
    )
