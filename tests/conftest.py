"""What tests share: golden files, a fake cgroup v2 mount, one hypothesis profile."""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

from oomctl import commandline, console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cli import kept
from oomctl.journal.file import Journal
from oomctl.proc import procfs
from tests.audit import batch
from tests.journals import journals
from tests.machine import FakeMachine

GOLDEN = Path(__file__).parent / "golden"

# Where they were ignored when pytest was started (nohup, a job in the background of a script), what
# the tests start would ignore them as well.
for _ending in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_ending) is signal.SIG_IGN:
        signal.signal(_ending, signal.SIG_DFL)

# A slow example is no failure on a busy machine, and the checkout may be read-only.
_RANDOM = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("random", _RANDOM)
# the same examples in each run, so that a change is judged by what it changes
settings.register_profile("same", _RANDOM, derandomize=True)
settings.load_profile("same")


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
def quiet(monkeypatch):
    """What is said is set for all; no test may leave it to the next."""
    monkeypatch.setattr(console, "_verbosity", 0)
    monkeypatch.setattr(console, "_shows_steps", False)
    monkeypatch.setattr(console, "_bar", "")
    monkeypatch.setattr(console, "has_colours", lambda: False)


@pytest.fixture(autouse=True)
def origin(monkeypatch):
    """Let every result be made by one command, on one host, at one time."""
    same = {"host": "test", "command": "oomctl", "time": "2026-11-26T14:11:51.000+00:00"}
    monkeypatch.setattr(commandline, "origin", lambda: same)


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path_factory):
    """Keep the results of tests out of the user's cache."""
    folder = tmp_path_factory.getbasetemp() / "results"
    monkeypatch.setattr(kept, "_FOLDER", (str(folder),))


@pytest.fixture
def mounts(tmp_path_factory, monkeypatch):
    """Let there be these mounts (type, folder, options) and no other."""
    table = tmp_path_factory.mktemp("proc") / "mounts"
    monkeypatch.setattr(hierarchy, "_MOUNTS", table)

    def only(*seen: tuple[str, Path, str]) -> None:
        rows = (f"none {folder} {fstype} {options} 0 0\n" for fstype, folder, options in seen)
        table.write_text("".join(rows))

    return only


@pytest.fixture
def cgroupfs(tmp_path, monkeypatch, mounts):
    """The root of a FakeCgroupfs, the only cgroup hierarchy that psutil then sees."""
    mount = tmp_path / "cgroup2"
    mount.mkdir()
    FakeCgroupfs(mount, monkeypatch)
    mounts(("cgroup2", mount, "rw,relatime"))
    monkeypatch.setenv("OOMCTL_RUN_DIR", str(tmp_path / "run"))
    return UnifiedNode(str(mount))


@pytest.fixture
def own_namespaces():
    """The namespaces, by kind, that are not the kernel's first."""
    return set()


@pytest.fixture
def fit_machine(cgroupfs, tmp_path, monkeypatch, own_namespaces):
    """A FakeMachine with everything, on a fake cgroupfs."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(procfs, "in_first_namespace", lambda kind: kind not in own_namespaces)
    return FakeMachine(tmp_path / "machine")


@pytest.fixture
def any_machine(fit_machine, tmp_path):
    """Make the same machine afresh, for hypothesis, which keeps a fixture for all its examples."""
    return lambda: FakeMachine(tmp_path / "machine")


@pytest.fixture
def changes(monkeypatch):
    """What Python changes outside itself from now on: writes, new files, signals, programs run."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = []
    with batch(made.append):
        yield made


@pytest.fixture
def journal(cgroupfs):
    """A journal of this process, which must be empty in the end."""
    with Journal() as made:
        yield made
    assert journals() == []


class FakeCgroupfs:
    """A folder that answers mkdir and rmdir as cgroupfs does; its files are plain files."""

    FILES: ClassVar[dict[str, str]] = {
        "cgroup.procs": "",
        "cgroup.controllers": "memory pids\n",
        "cgroup.subtree_control": "",
        "cgroup.events": "populated 0\nfrozen 0\n",
        "cgroup.kill": "",
        "memory.current": "0\n",
        "memory.max": "max\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    }

    def __init__(self, mount: Path, monkeypatch) -> None:
        self.mount = mount
        self._mkdir, self._rmdir, self._unlink = os.mkdir, os.rmdir, os.unlink
        self._write, self._truncate = os.write, os.ftruncate
        write_files(
            mount,
            {
                "cgroup.procs": "1\n",
                "cgroup.controllers": "cpuset cpu io memory pids\n",
                "cgroup.subtree_control": "memory pids\n",
            },
        )
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        monkeypatch.setattr(os, "rmdir", self.rmdir)
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd, data) -> int:
        """What is written to one of its files replaces what it held."""
        if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(self.mount):
            self._truncate(fd, 0)
        return self._write(fd, data)

    def mkdir(self, path, mode=0o777, *, dir_fd=None) -> None:
        self._mkdir(path, mode, dir_fd=dir_fd)
        if Path(path).is_relative_to(self.mount):
            write_files(Path(path), self.FILES)

    def rmdir(self, path, *, dir_fd=None) -> None:
        if dir_fd is not None:
            path = Path(f"/proc/self/fd/{dir_fd}").readlink() / path
        path = Path(path)
        if path.is_relative_to(self.mount) and path.exists():
            killed = any((above / "cgroup.kill").read_text() for above in self._chain(path))
            if killed:
                (path / "cgroup.procs").write_text("")
            if any(each.is_dir() for each in path.iterdir()) or (path / "cgroup.procs").read_text():
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
            for each in path.iterdir():
                self._unlink(each)
        self._rmdir(path)

    def _chain(self, path: Path) -> list[Path]:
        return [each for each in (path, *path.parents) if each.is_relative_to(self.mount)][:-1]


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        with open(folder / name, "w") as file:
            file.write(text)
