"""The hog's binary, started alone; a plain file stands in for cgroup.procs."""

import contextlib
import os
import platform
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from oomctl import resources
from oomctl.hog.protocol import Report, Step, reports

M = 1 << 20
DONE = [Step.JOIN, Step.ADJUST, Step.MAP, Step.FILL, Step.READY]
BINARY = Path(resources.built(f"hog.{platform.machine()}"))


def start(procs: Path, name: str, *words: str, writable=True, **files: Path) -> tuple[int, int]:
    """Start a hog with these arguments and open files; return its PID and its reports' pipe."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    passed = {"report": writer, "procs": os.open(procs, os.O_WRONLY if writable else os.O_RDONLY)}
    passed |= {word: os.open(path, os.O_RDWR) for word, path in files.items()}
    pid = os.posix_spawn(
        BINARY,
        [str(BINARY), name, *words, *(f"{word}={fd}" for word, fd in passed.items())],
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in passed.values()],
    )
    for fd in passed.values():
        os.close(fd)
    return pid, reader


def listen(reader: int) -> list[Report]:
    """Read every report until the hog closes its end."""
    data = b""
    with os.fdopen(reader, "rb") as pipe:
        while select.select([pipe], [], [], 20)[0]:
            more = pipe.read1()
            data += more
            if not more:
                return list(reports(data))
    raise AssertionError(f"no end of the reports after {list(reports(data))}")


def exit_status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def hog(procs: Path, kind="anon", size=0, adj=0, **more) -> Iterator[tuple[int, Report]]:
    """A hog that is filled; its PID and its last report."""
    files = {word: more.pop(word) for word in ("charge", "sharer", "file") if word in more}
    words = [f"{key}={value}" for key, value in more.items()]
    common = f"kind={kind}", f"parent={os.getpid()}", f"adj={adj}", f"size={size}"
    pid, reader = start(procs, "hog", *common, *words, **files)
    try:
        said = listen(reader)
        assert [report.error for report in said] == [0] * len(said)
        assert said[-1].step is Step.READY
        yield pid, said[-1]
    finally:
        end(pid)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def size_of(pid: int, key: str) -> int:
    """Return a size of /proc/PID/status in bytes."""
    return int(status(pid)[key].split()[0]) * 1024


def smaps(pid: int, key: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{key}: +(\d+) kB", text, re.MULTILINE)[1]) * 1024


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def gone(pid: int) -> bool:
    """Tell whether each thread of a process has ended."""
    try:
        threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
        return all(status(thread)["State"][0] in "ZX" for thread in threads)
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(true, seconds=30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def plain(procs, name="x", adj="0", size="4096", parent=None, **more):
    parent = os.getpid() if parent is None else parent
    return start(procs, name, "kind=anon", f"parent={parent}", f"adj={adj}", f"size={size}", **more)
