"""What a hog is started with."""

import pytest

from oomctl.hog.hogset import HogSet


@pytest.fixture
def procs(tmp_path):
    path = tmp_path / "cgroup.procs"
    path.touch()
    return path


@pytest.fixture
def target(cgroupfs):
    return cgroupfs.create_cgroup("t")


@pytest.fixture
def hog_set(cgroupfs, watch):
    """Make a set of hogs in the fake cgroupfs: hog_set(Hog(...), timeout=5)."""

    def make(*wanted, timeout=20.0, keep=False):
        return HogSet(wanted, cgroupfs, watch, timeout, keep)

    return make
