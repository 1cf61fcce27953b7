"""The rows that need no kfunc: memory, hogs, and what a command takes to start."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Row, Way, cpu_ms, cpu_ms_of, killed_ms
from oomctl import resources
from oomctl.cgroup.node import UnifiedNode
from oomctl.hog.protocol import READ_SIZE, Step, reports
from oomctl.hog.spawn import Starter
from oomctl.oom.plan import Hog

ROOT = Path(__file__).parent.parent
SIZE = 256 << 20
SPAWNED = 200
_NAME = f"hog.{platform.machine()}"
# Private_Dirty has the pages of a program too that was just compiled and is not written back yet.
_PRIVATE = re.compile(r"^Anonymous: +(\d+) kB", re.MULTILINE)
_MAIN = "import sys; sys.path.insert(0, {!r}); from oomctl.__main__ import main; main()"
_STARTS = (
    ("--version", 1.1),
    ("--help", 1.5),
    ("declare --dry-run", 2.0),
    ("declare --help", None),
)


def rows(scratch: Path, beside: Sequence[Path] = ()) -> Iterator[Row]:
    """Yield every row; `scratch` is an empty folder, `beside` are older checkouts of oomctl."""
    yardstick = compiled(scratch)
    procs = scratch / "cgroup.procs"
    procs.touch()
    yield from _fills(str(yardstick), procs, beside)
    yield Row(
        "private memory of an idle hog",
        "KiB",
        Way("oomctl", lambda: _private(_hog(resources.built(_NAME), procs, 0))),
        [Way("C, static glibc", lambda: _private(_idle(str(yardstick))))],
        0.25,
    )
    yield _spawns(str(yardstick), scratch, procs)
    yield from _starts(scratch, beside)


def compiled(scratch: Path) -> Path:
    """Compile the yardstick into a folder; return its path."""
    yardstick, source = scratch / "yardstick", Path(__file__).parent / "yardstick.c"
    subprocess.run(["gcc", "-O2", "-static", "-o", yardstick, source], check=True)
    return yardstick


def _fills(yardstick: str, procs: Path, beside: Sequence[Path]) -> Iterator[Row]:
    def by_c(how: str, *thp: str) -> Way:
        words = [yardstick, "fill", how, str(SIZE), *thp]
        return Way(f"C, {how}", lambda: cpu_ms(words))

    def by_hog(name: str, binary: Path, *thp: str) -> Way:
        return Way(name, lambda: killed_ms(_hog(binary, procs, SIZE, *thp)))

    others = []
    if memhog := shutil.which("memhog"):
        others.append(Way("memhog", lambda: cpu_ms([memhog, str(SIZE)])))
    if stress := shutil.which("stress-ng"):
        words = [stress, "--vm", "1", "--vm-bytes", str(SIZE), "--vm-populate", "--vm-ops", "1"]
        others.append(Way("stress-ng --vm", lambda: cpu_ms([*words, "--vm-method", "zero-one"])))
    for title, thp, more in (("4 KiB pages", (), others), ("THP", ("thp=1",), [])):
        yield Row(
            f"fill 256M, {title}",
            "ms CPU",
            by_hog("oomctl", resources.built(_NAME), *thp),
            [by_c("populate", *thp), by_c("touch", *thp), *more],
            1 / 0.97,
            [by_hog(_older(each), each / "oomctl" / "built" / _NAME, *thp) for each in beside],
        )


def _older(checkout: Path) -> str:
    return f"oomctl in {checkout.name}/"


def _hog(binary: Path, procs: Path, size: int, *more: str) -> int:
    """Start a hog without oomctl; return its PID when it is filled."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    joined = os.open(procs, os.O_WRONLY | os.O_CLOEXEC)
    words = ["hog", "kind=anon", "adj=0", f"size={size}", f"report={writer}", f"procs={joined}"]
    words += [f"parent={os.getpid()}", *more]
    shared = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (writer, joined)]
    pid = os.posix_spawn(binary, [str(binary), *words], {}, file_actions=shared)
    os.close(writer)
    os.close(joined)
    _until_ready(reader)
    return pid


def _until_ready(reader: int) -> None:
    while data := os.read(reader, READ_SIZE):
        for report in reports(data):
            if report.error:
                raise OSError(report.error, f"hog, step {report.step.name}")
            if report.step is Step.READY:
                os.close(reader)
                return
    raise RuntimeError("a hog ended before it was ready")


def _idle(yardstick: str) -> int:
    """Start the yardstick; return its PID when it waits."""
    pid = os.posix_spawn(yardstick, [yardstick, "idle"], {})
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        os.sched_yield()
    return pid


def _private(pid: int) -> float:
    """Return the KiB of memory that a process has written, and end it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    killed_ms(pid)
    return float(sum(map(int, _PRIVATE.findall(text))))


def _spawns(yardstick: str, scratch: Path, procs: Path) -> Row:
    root = UnifiedNode(str(scratch))
    hog = Hog("hog", 0, 0, "/")

    def by_oomctl() -> None:
        with Starter(root, parent=os.getpid(), leash=None, place=None) as starter:
            started = [starter.start(hog, alone=False) for _ in range(SPAWNED)]
        for _pid, reader in started:
            _until_ready(reader)
        for pid, _reader in started:
            os.kill(pid, signal.SIGKILL)
        for pid, _reader in started:
            os.waitpid(pid, 0)

    words = [yardstick, "spawn", str(SPAWNED), str(resources.built(_NAME)), str(procs)]
    return Row(
        "one hog started, ready and ended",
        "ms CPU",
        Way("oomctl", lambda: cpu_ms_of(by_oomctl) / SPAWNED),
        [Way("C, posix_spawn", lambda: cpu_ms(words) / SPAWNED)],
        1 / 0.8,
    )


def _starts(scratch: Path, beside: Sequence[Path]) -> Iterator[Row]:
    # compiled as an installed oomctl is, whatever the caller's environment says
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(scratch / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def way(name: str, code: str, *words: str) -> Way:
        return Way(name, lambda: cpu_ms([sys.executable, "-c", code, *words], environment))

    for command, at_most in _STARTS:
        words = command.split()
        yield Row(
            f"oomctl {command}",
            "ms CPU",
            way("oomctl", _MAIN.format(str(ROOT)), *words),
            [way("import typer", "import typer")],
            at_most,
            [way(_older(each), _MAIN.format(str(each)), *words) for each in beside],
        )
