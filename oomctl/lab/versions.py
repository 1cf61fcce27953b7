"""Debian's kernel of a version: the newest of a series in the suites that apt offers."""

import re
from functools import partial

from oomctl import cache, console
from oomctl.errors import UsageError
from oomctl.lab import apt, architecture, cached, suites, tools, unpack
from oomctl.lab.apt import Archive, Candidate
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.text import counted


def is_version(text: str) -> bool:
    """Return whether a text is a kernel's version: 6.12 or 7.3.4."""
    return bool(re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4}){1,2}", text))


def get(version: str, update: bool = False, arch: str = "") -> Kernel:
    """Return the newest kernel of a series such as 6.12, from the cache if that has one.

    This machine's own suites go before newer ones, since its compiler can build modules for them.
    With `update` the archive is asked for a newer one. `arch` is one of architecture.KERNELS, by
    default this machine's. UsageError if Debian has none.
    """
    if not update and (found := known(version, arch)):
        return found
    tools.require_python_debian()
    with cache.locked("kernels", doing="fetching a kernel", patience=suites.FETCH_SECONDS):
        if not update and (found := known(version, arch)):
            return found
        cache.require_space(suites.KERNEL_SPACE, "fetching a kernel")
        series: set[str] = set()
        for names in (suites.own(), suites.newer()):
            with suites.open_all(names, arch) as archives:
                offered = [(archive, each) for archive in archives for each in archive.candidates()]
                of_series = [pair for pair in offered if apt.in_series(pair[1].release, version)]
                if of_series:
                    return _fetch(*max(of_series, key=lambda pair: _order(pair[1].release)))
                series |= {".".join(each.release.split(".")[:2]) for _archive, each in offered}
    raise UsageError(
        f"--kernel {version}: Debian has no such kernel in "
        f"{', '.join([*suites.own(), *suites.newer()])}",
        f"it has {', '.join(sorted(series, key=_order)) or 'none'}",
    )


def _fetch(archive: Archive, candidate: Candidate) -> Kernel:
    if found := cached.find(candidate.release):
        return found
    console.progress(
        f"fetching {candidate.release} ({counted(len(candidate.packages), 'package')})"
    )
    fetch = partial(archive.download, candidate)
    home = cached.home(candidate.release)
    return unpack.unpack(fetch, candidate.release, home, Flavour.DEBIAN)


def known(version: str, arch: str = "") -> Kernel | None:
    """Return the newest kernel of a series in the cache that Debian has built."""
    found = [
        kernel
        for place in cached.home().glob("*/")
        if cached.flavour_of(place) in (Flavour.STOCK, Flavour.DEBIAN)
        and apt.in_series(place.name, version)
        and place.name.endswith(f"-{arch or architecture.native().debian}")
        and (kernel := cached.find(place.name))
    ]
    return max(found, key=lambda kernel: _order(kernel.release), default=None)


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", release))
