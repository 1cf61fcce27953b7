"""Kernel tests need a kernel with the kfunc: `make test` runs them in the lab."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from typer.testing import CliRunner, Result

from oomctl.bpf import btf
from oomctl.cgroup.removal import remove
from oomctl.cli import app
from oomctl.errors import UnsupportedError
from oomctl.experiment import sources
from oomctl.experiment.environment import require_machine
from oomctl.experiment.session import Session
from oomctl.proc.pidfd import PidfdWatch
from tests.journals import journals
from tests.kernel.leaves import ROOT, TOP, Leaf

FORCE = "OOMCTL_KERNEL_TESTS"
PART = "OOMCTL_PART"
"""Which of how many parts of the tests, such as 1/2: neighbours go to different guests."""
CGROUPS = Path("/sys/fs/cgroup")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    number, parts = map(int, os.environ.get(PART, "1/1").split("/"))
    left_out = [item for at, item in enumerate(items) if at % parts != number - 1]
    items[:] = items[number - 1 :: parts]
    config.hook.pytest_deselected(items=left_out)
    mark = pytest.mark.skip(
        reason=f"kills tasks on a real kernel: run `make test-kernel`, or set {FORCE}=1 in a VM"
    )
    if os.environ.get(FORCE) == "1":
        # an emulated machine beside others is slow: what hangs is ended all the same
        mark = pytest.mark.timeout(1200)
    for item in items:
        own = mark.name == "timeout" and item.get_closest_marker("timeout")
        if item.path.is_relative_to(here) and not own:
            item.add_marker(mark)


def leftovers() -> list[str]:
    """List what oomctl may leave behind: cgroups, children and journals."""
    cgroups = [str(path) for path in (*CGROUPS.rglob("oomctl-*"), *journals())]
    mine = [f"{p.pid} {p.name()}" for p in psutil.Process().children(recursive=True)]
    return cgroups + mine


def sweep() -> None:
    """Remove what a failed test left behind, without the code under test."""
    for process in (children := psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(children, 10)
    for path in sorted(CGROUPS.rglob("oomctl-*"), reverse=True):
        tear_down(path)
    for path in journals():
        path.unlink()


def tear_down(cgroup: Path) -> None:
    """Kill all processes in a cgroup and below, and remove the cgroups."""
    (cgroup / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + 10
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        assert time.monotonic() < deadline, f"{cgroup} is still populated"
        time.sleep(0.01)
    for folder in sorted((p for p in cgroup.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    cgroup.rmdir()


@pytest.fixture(scope="session", autouse=True)
def vmlinux() -> Iterator[None]:
    """The kernel's BTF is opened once: emulated, that takes a seventh of a second each time."""
    if os.environ.get(FORCE) != "1":
        yield
        return
    with btf.vmlinux():
        yield


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test starts and ends on a clean machine, so one that leaves something fails alone."""
    assert leftovers() == []
    yield
    found = leftovers()
    if found:
        sweep()
    assert found == []


@pytest.fixture
def oomctl() -> Callable[..., Result]:
    """Run a command line in this process: starting another Python is slow in a VM."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def declare(oomctl: Callable[..., Result]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run `oomctl declare --format json` and return its exit code and its result."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        result = oomctl("declare", "--format", "json", *arguments)
        assert result.exit_code in (0, 1), result.stderr
        return result.exit_code, json.loads(result.stdout)

    return run


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup with the memory controller that oomctl did not make."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    path = CGROUPS / "test target"
    path.mkdir()
    try:
        yield path
    finally:
        tear_down(path)


@pytest.fixture
def stranger(cgroup: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in that cgroup that oomctl did not start: 24 MiB, oom_score_adj 0."""
    code = "import mmap, time; m = mmap.mmap(-1, 24 << 20); m[:] = b'x' * len(m); print(flush=True)"
    code += "; time.sleep(600)"
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0"),
    )
    assert child.stdout
    child.stdout.readline()
    yield child
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()


@pytest.fixture
def session() -> Iterator[Session]:
    """A session that does not ask before a system-wide call."""
    root, kfunc = require_machine()
    with Session(root, kfunc, None) as running:
        yield running


class NoTracing:
    """An observer on a kernel that does not allow tracing."""

    def __init__(self, _root_id: int) -> None:
        pass

    def __enter__(self) -> NoReturn:
        raise UnsupportedError("the kernel allows no tracing")

    def __exit__(self, *_exc: object) -> None:
        raise AssertionError("was never entered")


@pytest.fixture
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the kernel log as the only source."""
    monkeypatch.setattr(sources, "Observer", NoTracing)


@pytest.fixture
def switchable_ftrace() -> None:
    """kernel.ftrace_enabled can be set here; Debian's 7.3 answers EOPNOTSUPP."""
    path = Path("/proc/sys/kernel/ftrace_enabled")
    try:
        path.write_text("0")
        path.write_text("1")
    except OSError as error:
        pytest.skip(f"kernel.ftrace_enabled cannot be set: {error.strerror}")


@pytest.fixture
def sysctl() -> Iterator[Callable[[str, int], None]]:
    """Set an integer sysctl for one test."""
    before: dict[Path, str] = {}

    def set_to(name: str, value: int) -> None:
        path = Path("/proc/sys", name.replace(".", "/"))
        before.setdefault(path, path.read_text())
        path.write_text(str(value))

    yield set_to
    for path, value in before.items():
        path.write_text(value)


@pytest.fixture
def swap_area():
    """Make a swap device of 256 MiB in compressed memory, to be switched on and off."""
    subprocess.run(["modprobe", "zram", "num_devices=1"], check=True)
    Path("/sys/block/zram0/disksize").write_text(str(256 << 20))
    subprocess.run(["mkswap", "-q", "/dev/zram0"], check=True)

    @contextlib.contextmanager
    def on(wanted):
        if not wanted:
            yield
            return
        subprocess.run(["swapon", "/dev/zram0"], check=True)
        try:
            yield
        finally:
            subprocess.run(["swapoff", "/dev/zram0"], check=True)

    yield on
    Path("/sys/block/zram0/reset").write_text("1")


@pytest.fixture
def leaf() -> Iterator[Callable[[str], Leaf]]:
    have = (ROOT.directory / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in ("memory", "pids", "hugetlb") if name in have)
    (ROOT.directory / "cgroup.subtree_control").write_text(wanted)
    top = ROOT.create_cgroup(TOP)
    (top.directory / "cgroup.subtree_control").write_text(wanted)
    yield Leaf
    remove(top.directory, top.id, 20)


@pytest.fixture
def watch() -> Iterator[PidfdWatch]:
    with PidfdWatch() as watching:
        yield watching
