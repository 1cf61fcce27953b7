"""The suites of Debian's archive that have kernels: this machine's own first, then newer ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from oomctl import cache, console
from oomctl.errors import OomctlError
from oomctl.lab import apt, tools
from oomctl.lab.apt import Archive

FETCH_SECONDS = 3600.0
"""How long to wait for another oomctl that fetches a kernel."""


def names() -> list[str]:
    """Return the suites, by Debian's names for them on a mirror."""
    own = apt.machine_codename()
    return [f"{own}-backports", own, "stable-backports", "stable", "unstable"]


@contextmanager
def open_archive(suite: str) -> Iterator[Archive]:
    """Yield a suite of the archive whose index was just fetched."""
    console.progress(f"fetching the package index of {suite}")
    with cache.scratch("apt-") as folder:
        archive = Archive(folder, suite)
        archive.update()
        yield archive


@contextmanager
def open_all() -> Iterator[list[Archive]]:
    """Yield all suites whose index can be fetched; the last one's error if none can be."""
    tools.require_python_debian()
    failure: OomctlError | None = None
    with ExitStack() as stack:
        opened = []
        for suite in names():
            try:
                opened.append(stack.enter_context(open_archive(suite)))
            except OomctlError as error:
                console.detail(f"{suite}: {error}")
                failure = error
        if failure and not opened:
            raise failure
        yield opened
