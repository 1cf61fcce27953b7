"""The suites of Debian's archive that have kernels: this machine's own, and newer ones."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from oomctl import cache, console
from oomctl.errors import OomctlError
from oomctl.lab import apt, tools
from oomctl.lab.apt import Archive

_CODENAMES = ("bookworm", "trixie", "forky")
"""Debian's releases with kernels that the module works on, in their order."""
KERNEL_SPACE, SOURCE_SPACE = 512 << 20, 512 << 20
"""Bytes that a kernel, or a source, takes while it is fetched and unpacked."""
FETCH_SECONDS = 3600.0
"""How long to wait for another oomctl that fetches a kernel."""


def own() -> list[str]:
    """Return this machine's suites; its compiler can build modules for their kernels."""
    codename = apt.machine_codename()
    return [f"{codename}-backports", codename]


def newer() -> list[str]:
    """Return the suites after this machine's own; the mirror may lack some."""
    codename = apt.machine_codename()
    at = _CODENAMES.index(codename) + 1 if codename in _CODENAMES else len(_CODENAMES)
    later = [suite for name in _CODENAMES[at:] for suite in (f"{name}-backports", name)]
    return [*later, "sid"]


@contextmanager
def open_archive(suite: str, arch: str = "") -> Iterator[Archive]:
    """Yield a suite of the archive whose index was just fetched; `arch` is as in Archive."""
    console.progress(f"fetching the package index of {suite}")
    with cache.scratch("apt-") as folder:
        archive = Archive(folder, suite, arch)
        archive.update()
        yield archive


@contextmanager
def open_all(names: Sequence[str], arch: str = "") -> Iterator[list[Archive]]:
    """Yield the suites whose index can be fetched; the last one's error if none can be."""
    tools.require_python_debian()
    failure: OomctlError | None = None
    with ExitStack() as stack:
        opened = []
        for suite in names:
            try:
                opened.append(stack.enter_context(open_archive(suite, arch)))
            except OomctlError as error:
                console.detail(f"{suite}: {error}")
                failure = error
        if failure and not opened:
            raise failure
        yield opened
