"""A cache of the tests' own, by which their machines are told from all others."""

import time

import psutil
import pytest

from oomctl import cache


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory):
    """The user's kernels in a cache of our own."""
    made = tmp_path_factory.mktemp("cache")
    (made / "kernels").symlink_to(cache.folder("kernels"))
    return made


@pytest.fixture
def nothing_is_left(own_cache, monkeypatch):
    """Fail where a machine, a program or a file of the lab outlives a test."""
    monkeypatch.setenv("OOMCTL_CACHE", str(own_cache))
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and leftovers(own_cache):
        time.sleep(0.1)
    assert leftovers(own_cache) == []


def machines(own_cache):
    """The processes that work with something in the cache: QEMU with a kernel of it."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(own_cache) in word for word in process.info["cmdline"] or [])
    ]


def leftovers(own_cache):
    files = [str(path) for path in own_cache.glob("scratch/*/")]
    return [str(process) for process in machines(own_cache)] + files
