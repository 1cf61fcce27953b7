"""What tests share: golden files, a fake cgroup v2 mount, one hypothesis profile."""

from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from oomctl import talk
from oomctl.kernel.cgroups import UnifiedNode

GOLDEN = Path(__file__).parent / "golden"

# The machine runs other work meanwhile: a slow example is no failure.
settings.register_profile(
    "oomctl", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("oomctl")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )


@pytest.fixture
def golden(request):
    """Compare a text with tests/golden/NAME, or write it there with --update-golden."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert text == path.read_text(), "if this is wanted: pytest --update-golden"

    return compare


@pytest.fixture(autouse=True)
def quiet():
    """Verbosity is global; no test may leave it to the next."""
    talk.set_verbosity(0)
    yield
    talk.set_verbosity(0)


@pytest.fixture
def cgroupfs(tmp_path, monkeypatch):
    """A directory that looks like a mounted cgroup v2 hierarchy, the only one of the machine."""
    mount = tmp_path / "cgroup2"
    mount.mkdir()
    fill_root(mount)
    mount_only(monkeypatch, ("cgroup2", mount, "rw,relatime"))
    return UnifiedNode(str(mount))


def fill_root(mount: Path) -> None:
    write_files(
        mount,
        {
            "cgroup.controllers": "cpuset cpu io memory pids\n",
            "cgroup.subtree_control": "memory pids\n",
            "cgroup.procs": "1\n2\n",
        },
    )


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def mount_only(monkeypatch, *mounts: tuple[str, Path, str]) -> None:
    """Let psutil see these mounts (type, folder, options) and no other."""
    found = [
        psutil._ntuples.sdiskpart("none", str(folder), fstype, options)
        for fstype, folder, options in mounts
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all=False: found)
