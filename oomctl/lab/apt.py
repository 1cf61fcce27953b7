"""A private apt beside the machine's own: the same mirror, keys and proxy, but another suite.

Nothing is installed, and the machine's apt is not changed; apt checks every signature.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab.architecture import KERNELS
from oomctl.proc import fork, programs

_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
"""Other names that the sources of a Debian machine may use for its own suite."""
_PROGRAMS = "linux-kbuild-"
_PARTS = ("linux-binary-", "linux-modules-", "linux-headers-", _PROGRAMS, "linux-base-")
_TIMEOUT = 7200.0  # seconds: 120 MB over a slow line; apt itself ends a line without data
_TARGETS = "$(RELEASE)|$(COMPONENT)|$(SOURCESENTRY)"
_OWN_KERNEL = "give a kernel of your own with --kernel FOLDER-or-IMAGE"
_TRY_UPDATE = "see whether `apt-get update` works on this machine"


@dataclass(frozen=True)
class Entry:
    """An entry of the machine's apt sources: file, its number in it (from 1), and the release."""

    file: Path
    number: int
    release: str


@dataclass(frozen=True)
class Package:
    """A package of the index; `depends` has the first name of each set of alternatives."""

    name: str
    version: str
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A kernel in the archive: its release (`uname -r`), and all packages that it needs."""

    release: str
    packages: tuple[str, ...]


# --- pure -------------------------------------------------------------------------------------


def parse_targets(text: str) -> list[Entry]:
    """Parse the output of `apt-get indextargets` in the format _TARGETS; only component main."""
    entries: dict[Entry, None] = {}
    for line in text.splitlines():
        release, component, position = line.split("|")
        file, _, number = position.rpartition(":")
        if component == "main":
            entries[Entry(Path(file), int(number), release)] = None
    return list(entries)


def own_entries(entries: Iterable[Entry], codename: str) -> list[Entry]:
    """Return the entries of the machine's own suite, in the order of the sources."""
    return [entry for entry in entries if entry.release in (codename, *_ALIASES)]


def is_deb822(text: str) -> bool:
    """Tell whether a sources file is in deb822 format, not in the one-line format."""
    return bool(re.search(r"^Types:", text, re.MULTILINE | re.IGNORECASE))


def with_suite(text: str, number: int, suite: str) -> str:
    """Return entry `number` of a sources file, changed to main of another suite, any architecture.

    Entries are counted from 1: by stanza in a deb822 file, by line in a one-line file.
    """
    if is_deb822(text):
        from debian.deb822 import Deb822

        stanza = list(Deb822.iter_paragraphs(text, use_apt_pkg=False))[number - 1]
        stanza.update({"Types": "deb", "Suites": suite, "Components": "main"})
        stanza.pop("Architectures", None)
        return str(stanza.dump())
    line = text.splitlines()[number - 1]
    found = re.match(r"\s*deb(?:-src)?\s+(?P<options>\[[^]]*\]\s+)?(?P<uri>\S+)\s", line)
    if found is None:
        raise ValueError(line)
    options = re.sub(r"\barch[+-]?=\S+\s*(?=\]|\S)", "", found["options"] or "")
    return f"deb {options.replace('[] ', '')}{found['uri']} {suite} main\n"


def parse_packages(text: str) -> list[Package]:
    """Parse the output of `apt-cache show`."""
    from debian.deb822 import Packages

    return [
        Package(
            stanza["Package"],
            stanza["Version"],
            tuple(choice[0]["name"] for choice in stanza.relations["depends"] or ()),
        )
        for stanza in Packages.iter_paragraphs(text, use_apt_pkg=False)
    ]


def candidates(packages: Sequence[Package], architecture: str) -> list[Candidate]:
    """Return the generic kernels whose headers are in the index too, newest first."""
    by_version = sorted(packages, key=order)
    known = {package.name: package for package in by_version}  # the newest of each name
    image = re.compile(rf"linux-image-(\d[^-]*(?:-\d+|-rc\d+)?-{re.escape(architecture)})")
    found = []
    for package in reversed(by_version):
        headers = package.name.replace("linux-image-", "linux-headers-")
        newest = known[package.name] is package
        same = headers in known and known[headers].version == package.version
        if newest and same and (name := image.fullmatch(package.name)):
            found.append(Candidate(name[1], closure([package.name, headers], known)))
    return found


def closure(names: list[str], known: Mapping[str, Package]) -> tuple[str, ...]:
    """Follow dependencies to this kernel's own parts: from 6.19 on image and modules are apart."""
    names = [*names]
    wanted: set[str] = set()
    while names:
        name = names.pop()
        if name in known and name not in wanted:
            wanted.add(name)
            names += parts_of(known[name])
    return tuple(sorted(wanted))


def parts_of(package: Package) -> list[str]:
    """Return the parts of the same kernel that a package depends on."""
    return [name for name in package.depends if name.startswith(_PARTS)]


def order(package: Package) -> Any:
    """Return what compares as the version of a package does."""
    from debian.debian_support import Version

    return Version(package.version)


def in_series(release: str, version: str) -> bool:
    """Return whether a release is of a version: 6.12.95+deb12-amd64 is of 6.12 and of 6.12.95."""
    return bool(re.match(rf"{re.escape(version)}(?![0-9])", release))


# --- edge -------------------------------------------------------------------------------------


def machine_codename() -> str:
    """Return the Debian codename of this machine; UnsupportedError if it is not Debian."""
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        release = ""
    fields: dict[str, str] = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release, re.MULTILINE))
    if fields.get("ID") != "debian" or not fields.get("VERSION_CODENAME"):
        raise UnsupportedError(
            f"the stock kernel comes from Debian, this machine is {fields.get('ID', 'unknown')}",
            _OWN_KERNEL,
        )
    return fields["VERSION_CODENAME"]


def machine_sources(suite: str) -> str:
    """Return the machine's own entry, changed to `suite`; UnsupportedError if it has none."""
    targets = ["--no-release-info", "--format", _TARGETS, "Created-By: Packages"]
    entries = parse_targets(_run(["apt-get", "indextargets", *targets]))
    codename = machine_codename()
    for entry in own_entries(entries, codename):
        try:
            return with_suite(entry.file.read_text(), entry.number, suite)
        except (OSError, ValueError, IndexError):
            continue
    raise UnsupportedError(
        f"apt's sources on this machine have no entry for {codename} main to take the mirror from",
        "add one to /etc/apt/sources.list, or give --kernel FOLDER-or-IMAGE",
    )


class Archive:
    """apt with package lists of its own for one suite, all of its state in `folder`.

    `arch` is one of architecture.KERNELS, by default that of this machine.
    """

    def __init__(self, folder: Path, suite: str, arch: str = "") -> None:
        self.folder = folder
        self.suite = suite
        self._arch = arch
        known = KERNELS.get(arch)
        self._foreign = known.debian if known and not known.is_native else ""

    def update(self) -> None:
        """Fetch the suite's index; OomctlError if the mirror or the signature fails."""
        text = machine_sources(self.suite)
        for part in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        suffix = "sources" if is_deb822(text) else "list"
        (self.folder / "parts" / f"lab.{suffix}").write_text(text)
        (self.folder / "status").touch()
        # The machine's hooks after an update are about the machine's lists, not about these.
        (self.folder / "apt.conf").write_text(
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        )
        self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")

    def candidates(self) -> list[Candidate]:
        """Return the kernels of the suite, newest first."""
        listed = self._apt("apt-cache", "search", "--names-only", r"^linux-[a-z]+-[0-9]")
        names = [line.split(" - ")[0] for line in listed.splitlines()]
        if not names:
            return []
        shown = self._apt("apt-cache", "show", *names)
        return candidates(parse_packages(shown), self._arch or _own_architecture())

    def named(self, pattern: str) -> list[Package]:
        """Return the packages whose whole name matches a regular expression."""
        listed = self._apt("apt-cache", "search", "--names-only", f"^{pattern}$")
        names = [line.split(" - ")[0] for line in listed.splitlines()]
        return parse_packages(self._apt("apt-cache", "show", *names)) if names else []

    def download(self, candidate: Candidate, into: Path) -> list[Path]:
        """Fetch the packages of a candidate and return the files.

        The programs of kernel makefiles run on this machine, also for another architecture.
        """
        own = f":{_own_architecture()}" if self._foreign else ""
        names = [name + own * name.startswith(_PROGRAMS) for name in candidate.packages]
        return self.fetch(names, into)

    def fetch(self, names: Sequence[str], into: Path) -> list[Path]:
        """Fetch packages and return the files."""
        self._apt("apt-get", "download", *names, cwd=into)
        return sorted(into.glob("*.deb"))

    def fetch_all(self, names: Sequence[str], into: Path) -> list[Path]:
        """Fetch packages and what they depend on, and return the files; nothing is installed."""
        words = ["--yes", "--no-install-recommends", "--download-only", *names]
        self._apt("apt-get", "install", "-o", f"Dir::Cache::archives={into}", *words)
        return sorted(into.glob("*.deb"))

    def _apt(self, program: str, *words: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self.folder / "parts",
            "Acquire::Languages": "none",
            "Acquire::Retries": 2,
        }
        if self._foreign:
            options["APT::Architecture"] = self._foreign
            options["APT::Architectures"] = f"{self._foreign},{_own_architecture()}"
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run([program, "-q", "-c", str(self.folder / "apt.conf"), *settings, *words], cwd)


def _own_architecture() -> str:
    return _run(["dpkg", "--print-architecture"]).strip()


def _run(command: list[str], cwd: Path | None = None) -> str:
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=partial(fork.die_with, os.getpid()),
        )
        output, said = programs.communicate(process, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise OomctlError(
            f"{command[0]} did not end within {_TIMEOUT / 3600:g} hours", _TRY_UPDATE
        ) from error
    except FileNotFoundError as error:
        raise UnsupportedError(
            f"there is no {command[0]} on this machine to fetch the stock kernel with", _OWN_KERNEL
        ) from error
    if process.returncode != 0:
        errors = [line for line in said.splitlines() if line.startswith(("E:", "W:"))]
        why = errors[-1][3:].strip() if errors else f"exit {process.returncode}"
        raise OomctlError(f"{command[0]} failed: {why}", _TRY_UPDATE, said)
    return output
