"""A private apt beside the machine's own: its mirror, keys and proxy, but suites of our choosing.

Nothing is installed and nothing of the machine's apt changes; apt checks every signature.
"""

import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.proc import fork

# Other names that a Debian machine's sources may give to its own suite.
_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
_PARTS = ("linux-binary-", "linux-modules-", "linux-headers-", "linux-kbuild-")
_LONGEST = 7200.0  # seconds: 120 MB over a slow line; apt ends a line that is silent itself
_TARGETS = "$(RELEASE)|$(COMPONENT)|$(SOURCESENTRY)"


@dataclass(frozen=True)
class Entry:
    """A line or stanza of the machine's sources: file, its apt number in it, and the release."""

    file: Path
    number: int
    release: str


@dataclass(frozen=True)
class Package:
    """What the index says of one package; `depends` holds the first of each set of choices."""

    name: str
    version: str
    size: int = 0
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A kernel in the archive: its release (`uname -r`), version, and all packages it takes."""

    release: str
    version: str
    packages: tuple[str, ...]


# --- pure -------------------------------------------------------------------------------------


def parse_targets(text: str) -> list[Entry]:
    """Read the lines that `apt-get indextargets` prints for our format; only component main."""
    entries: dict[Entry, None] = {}
    for line in text.splitlines():
        release, component, position = line.split("|")
        file, _, number = position.rpartition(":")
        if component == "main":
            entries[Entry(Path(file), int(number), release)] = None
    return list(entries)


def own_entries(entries: Iterable[Entry], codename: str) -> list[Entry]:
    """Pick the entries of the machine's own suite, in the order of the sources."""
    return [entry for entry in entries if entry.release in (codename, *_ALIASES)]


def with_suite(text: str, number: int, suite: str) -> str:
    """Take entry `number` out of a sources file and put one other suite in; options stay.

    `text` is a deb822 file (numbered by stanza) or a one-line file (numbered by line), from 1.
    """
    if re.search(r"^Types:", text, re.MULTILINE | re.IGNORECASE):
        return _stanza_with_suite(text, number, suite)
    line = text.splitlines()[number - 1]
    found = re.match(r"\s*deb(?:-src)?\s+(?P<options>\[[^]]*\]\s+)?(?P<uri>\S+)\s", line)
    if found is None:
        raise ValueError(line)
    return f"deb {found['options'] or ''}{found['uri']} {suite} main\n"


def _stanza_with_suite(text: str, number: int, suite: str) -> str:
    stanza = [part for part in re.split(r"\n(?:[ \t]*\n)+", text) if _fields(part)][number - 1]
    replaced = {"types": "deb", "suites": suite, "components": "main"}
    lines, dropping = [], False
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] not in (" ", "\t"):
            name = line.partition(":")[0].strip()
            dropping = name.lower() in replaced
            if dropping:
                lines.append(f"{name}: {replaced[name.lower()]}")
        if not dropping:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _fields(stanza: str) -> bool:
    return any(line.strip() and not line.startswith("#") for line in stanza.splitlines())


def parse_packages(text: str) -> list[Package]:
    """Read the stanzas that `apt-cache show` prints."""
    packages = []
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
        if "Package" in fields:
            depends = tuple(
                choice.split("|")[0].split("(")[0].strip()
                for choice in fields.get("Depends", "").split(",")
            )
            size = int(fields.get("Size", 0))
            packages.append(Package(fields["Package"], fields["Version"], size, depends))
    return packages


def candidates(
    packages: Sequence[Package], architecture: str, older: Callable[[str, str], bool]
) -> list[Candidate]:
    """Find the generic kernels whose headers exist too, newest first.

    `older(a, b)` tells whether version a is below version b in Debian's order.
    """
    known: dict[str, Package] = {}
    for package in packages:
        if package.name not in known or older(known[package.name].version, package.version):
            known[package.name] = package

    def older_first(a: str, b: str) -> int:
        return -1 if older(a, b) else int(older(b, a))

    image = re.compile(rf"linux-image-\d[^-]*(?:-\d+|-rc\d+)?-{re.escape(architecture)}")
    found = []
    for package in known.values():
        release = package.name.removeprefix("linux-image-")
        headers = f"linux-headers-{release}"
        same = headers in known and known[headers].version == package.version
        if image.fullmatch(package.name) and same:
            names = _closure([package.name, headers], known)
            found.append(Candidate(release, package.version, names))
    by_version = functools.cmp_to_key(older_first)
    return sorted(found, key=lambda candidate: by_version(candidate.version), reverse=True)


def _closure(names: list[str], known: dict[str, Package]) -> tuple[str, ...]:
    """Follow dependencies to this kernel's own parts: from 6.19 on image and modules are apart."""
    wanted: dict[str, None] = {}
    while names:
        name = names.pop()
        if name in known and name not in wanted:
            wanted[name] = None
            names += [other for other in known[name].depends if other.startswith(_PARTS)]
    return tuple(sorted(wanted))


# --- edge -------------------------------------------------------------------------------------


def machine_codename() -> str:
    """Return the Debian codename of this machine; UnsupportedError where it is no Debian."""
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        release = ""
    fields: dict[str, str] = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release, re.MULTILINE))
    if fields.get("ID") != "debian" or not fields.get("VERSION_CODENAME"):
        raise UnsupportedError(
            f"the stock kernel comes from Debian, this machine is {fields.get('ID', 'unknown')}",
            "give a kernel of your own with --kernel FOLDER-or-IMAGE",
        )
    return fields["VERSION_CODENAME"]


def architecture() -> str:
    """Return dpkg's name of this machine's architecture, such as amd64."""
    return _run(["dpkg", "--print-architecture"]).strip()


def older(a: str, b: str) -> bool:
    """Tell whether Debian version `a` is below `b`."""
    compared = subprocess.run(
        ["dpkg", "--compare-versions", a, "lt", b], check=False, timeout=_LONGEST
    )
    return compared.returncode == 0


def machine_sources(suite: str) -> str:
    """Write the machine's own entry again for `suite`; UnsupportedError where it has none."""
    asked = ["--no-release-info", "--format", _TARGETS, "Created-By: Packages"]
    listed = _run(["apt-get", "indextargets", *asked])
    codename = machine_codename()
    for entry in own_entries(parse_targets(listed), codename):
        try:
            return with_suite(entry.file.read_text(), entry.number, suite)
        except (OSError, ValueError, IndexError):
            continue
    raise UnsupportedError(
        f"apt's sources on this machine have no entry for {codename} main to take the mirror from",
        "add one to /etc/apt/sources.list, or give --kernel FOLDER-or-IMAGE",
    )


class Archive:
    """apt on lists of its own for one suite, all state in `folder`."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        self.suite = suite

    def update(self) -> None:
        """Fetch the suite's index; OomctlError where the mirror or the signature fails."""
        text = machine_sources(self.suite)
        deb822 = re.search(r"^Types:", text, re.MULTILINE | re.IGNORECASE)
        for part in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for stale in (self.folder / "parts").iterdir():
            stale.unlink()
        (self.folder / "parts" / f"lab.{'sources' if deb822 else 'list'}").write_text(text)
        (self.folder / "status").touch()
        # The machine's hooks after an update are about the machine's lists, not about these.
        (self.folder / "apt.conf").write_text(
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        )
        self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")

    def candidates(self) -> list[Candidate]:
        """List the kernels of the suite, newest first."""
        listed = self._apt("apt-cache", "search", "--names-only", r"^linux-[a-z]+-[0-9]")
        names = [line.split(" - ")[0] for line in listed.splitlines()]
        if not names:
            return []
        shown = self._apt("apt-cache", "show", *names)
        return candidates(parse_packages(shown), architecture(), older)

    def download(self, candidate: Candidate, into: Path) -> list[Path]:
        """Fetch the packages of a candidate and return the files."""
        self._apt("apt-get", "download", *candidate.packages, cwd=into)
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
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run([program, "-q", "-c", str(self.folder / "apt.conf"), *settings, *words], cwd)


def _run(command: list[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST,
            preexec_fn=partial(fork.die_with, os.getpid()),
        )
    except subprocess.TimeoutExpired as error:
        raise OomctlError(
            f"{command[0]} did not end within {_LONGEST / 3600:g} hours",
            "see whether `apt-get update` works on this machine",
        ) from error
    except FileNotFoundError as error:
        raise UnsupportedError(
            f"{command[0]} is not on this machine, so there is no Debian archive to ask",
            "give a kernel of your own with --kernel FOLDER-or-IMAGE",
        ) from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        why = said[-1][3:].strip() if said else f"exit {done.returncode}"
        raise OomctlError(
            f"{command[0]} failed: {why}",
            "see whether `apt-get update` works on this machine",
            done.stderr,
        )
    return done.stdout
