"""A machine without the kfunc on which no hostile command can do harm."""

from pathlib import Path

import pytest

from oomctl import cli
from oomctl.bpf import btf
from oomctl.cli import doctor, guest, kept, watch
from oomctl.errors import UnsupportedError
from oomctl.experiment import environment
from oomctl.kmod import kbuild, module
from oomctl.lab import build, kvm, source, stock, vm
from oomctl.lab import guest_kernel as lab_kernel
from oomctl.proc import programs
from tests.hostile.folder import furnish
from tests.hostile.ground import ALL, ran


@pytest.fixture
def furnished(tmp_path, monkeypatch):
    """The current folder, with a file of every kind in it."""
    where = tmp_path / "here"
    furnish(where)
    monkeypatch.chdir(where)
    return where


@pytest.fixture
def harmless(furnished, any_machine, cgroupfs, monkeypatch):
    """What loads, boots, builds, traces or looks at all processes is kept from it."""

    def cannot(*_args, **_kwargs):
        raise UnsupportedError("not on this machine", "try another")

    cgroupfs.create_cgroup("a")
    machine = any_machine()
    monkeypatch.setenv("OOMCTL_RUN_DIR", str(furnished.parent / "run"))
    monkeypatch.setenv("OOMCTL_CACHE", str(furnished.parent / "cache"))
    monkeypatch.setattr(kept, "_FOLDER", (str(furnished.parent / "cache/results"),))
    monkeypatch.setattr(btf, "find_kfunc", lambda: None)
    monkeypatch.setattr(doctor, "Machine", lambda: machine)
    monkeypatch.setattr(watch, "OomWatch", cannot)
    monkeypatch.setattr(programs, "run", lambda *_words, **_more: (127, "not found"))
    for name in ("build", "load", "unload", "require_modules"):
        monkeypatch.setattr(module, name, cannot)
    monkeypatch.setattr(module, "loaded", lambda: False)
    monkeypatch.setattr(kbuild, "require", cannot)
    monkeypatch.setattr(environment, "require_host", cannot)
    for edge in (
        *((vm, "run"), (guest, "ready"), (stock, "get"), (kvm, "works")),
        *((source, "newest"), (build, "plan"), (build, "build")),
    ):
        monkeypatch.setattr(*edge, cannot)
    known = lab_kernel.Kernel("6.12", Path("/k/vmlinuz"), None, provides=True)
    monkeypatch.setattr(stock, "chosen", lambda _arch="": known)
    monkeypatch.setattr(kvm, "known", lambda: False)
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    return cli.app


def pytest_collection_modifyitems(items):
    """Give each test the time for its share of the cases, on a machine that does other work too."""
    for item in items:
        if "hostile" in item.path.parts:
            item.add_marker(pytest.mark.timeout(600 + ALL // 5))


def pytest_terminal_summary(terminalreporter):
    if ran:
        terminalreporter.section(f"{sum(ran.values())} hostile cases")
        for name, number in ran.items():
            terminalreporter.write_line(f"{number:6} {name}")


def pytest_sessionfinish(session):
    if sum(ran.values()) < ALL and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
