"""The hog's binary alone: a plain file stands in for cgroup.procs, so no root is needed."""

import contextlib
import errno
import fcntl
import os
import platform
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import oomctl
from oomctl import resources
from oomctl.hog.protocol import Report, Step, reports
from oomctl.oom.hogexit import HogExit, own_end

M = 1 << 20
BINARY = Path(resources.built(f"hog.{platform.machine()}"))
DONE = [Step.JOIN, Step.ADJUST, Step.MAP, Step.FILL, Step.READY]
HEADER = Path(oomctl.__file__).parent / "hog" / "hog.h"
HUGE = Path("/proc/sys/vm/nr_hugepages")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


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


@pytest.fixture
def procs(tmp_path):
    path = tmp_path / "cgroup.procs"
    path.touch()
    return path


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
    try:
        return status(pid)["State"][0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(true, seconds=20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def plain(procs, name="x", adj="0", size="4096", parent=None, **more):
    parent = os.getpid() if parent is None else parent
    return start(procs, name, "kind=anon", f"parent={parent}", f"adj={adj}", f"size={size}", **more)


# What all of them do.


def test_a_hog_fills_its_size_and_reports_each_step(procs):
    pid, reader = plain(procs, "sixteen", "321", str(16 * M))
    try:
        said = listen(reader)
        assert [(report.step, report.error) for report in said] == [(step, 0) for step in DONE]
        seen = status(pid)
        assert seen["Name"] == "sixteen"
        assert 16 * M <= size_of(pid, "VmRSS") <= 16 * M + (20 << 10)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "321\n"
        assert procs.read_text() == "0"  # itself, as cgroup.procs reads it
        last = said[-1]
        assert (last.bytes, last.lost_ns) == (16 * M, 0)
        assert 0 < last.took_ns < 10**10
    finally:
        end(pid)


def test_an_empty_hog_maps_nothing(procs):
    pid, reader = plain(procs, size="0")
    try:
        said = listen(reader)
        assert [report.step for report in said] == [Step.JOIN, Step.ADJUST, Step.READY]
        assert size_of(pid, "VmRSS") <= 20 << 10
    finally:
        end(pid)


def test_a_single_byte_is_a_page(procs):
    with hog(procs, size=1) as (_pid, said):
        assert said.bytes == 1


def failure(procs, *arguments, **more):
    pid, reader = plain(procs, *arguments, **more)
    last = listen(reader)[-1]
    assert exit_status(pid) == HogExit.FAILED
    return last.step, last.error


def test_a_cgroup_that_cannot_be_joined_is_reported(procs):
    assert failure(procs, writable=False) == (Step.JOIN, errno.EBADF)


def test_an_oom_score_adj_that_cannot_be_set_is_reported(procs):
    assert failure(procs, adj="1001") == (Step.ADJUST, errno.EINVAL)


def test_an_oom_score_adj_that_reads_back_differently_is_reported(procs):
    """The kernel refuses `5x`, and stores 5 for `05`."""
    assert failure(procs, adj="05") == (Step.ADJUST, errno.EPERM)


@pytest.mark.parametrize("size", [1 << 47, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("thp", [0, 1])
def test_a_size_beyond_any_address_space_is_reported(procs, size, thp):
    pid, reader = start(procs, "x", "kind=anon", "adj=0", f"size={size}", f"thp={thp}")
    last = listen(reader)[-1]
    assert (last.step, last.error) == (Step.MAP, errno.ENOMEM)
    os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "words", [(), ("kind=anon",), ("adj=0",), ("kind=tulip", "adj=0"), ("kind=anon", "adj=0", "z")]
)
def test_wrong_arguments_are_refused_without_a_report(procs, words):
    pid, reader = start(procs, "x", *words)
    assert listen(reader) == []
    assert exit_status(pid) == HogExit.USAGE


def test_a_hog_whose_parent_has_ended_does_not_start(procs):
    pid, reader = plain(procs, parent=os.getpid() + 1)
    assert listen(reader) == []
    assert exit_status(pid) == HogExit.NO_PARENT
    assert procs.read_text() == ""


def by_a_parent_that_dies(procs, *words: str) -> list[int]:
    """Let another process start a hog and end; return the PIDs of the hog and its children."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_binary, pathlib
words = [word.format(pid=os.getpid()) for word in {words!r}]
pid, reader = test_binary.start(pathlib.Path({str(procs)!r}), "orphan", "adj=0", *words)
test_binary.listen(reader)
print(pid, *test_binary.children(pid), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert status(pids[0])["Name"] == "orphan"
        process.kill()
    return pids


@pytest.mark.parametrize(
    ("kind", "more"),
    [("anon", ()), ("forker", ("tasks=3",)), ("threads", ("tasks=3",)), ("traced", ("hold=1000",))],
)
def test_a_hog_and_its_tasks_die_with_its_parent(procs, kind, more):
    words = f"kind={kind}", "size=65536", "parent={pid}", *more
    pids = by_a_parent_that_dies(procs, *words)
    assert len(pids) == {"forker": 4, "traced": 2}.get(kind, 1)
    soon(lambda: all(map(gone, pids)))


def test_a_hog_that_is_to_be_kept_outlives_its_parent(procs):
    (pid,) = by_a_parent_that_dies(procs, "kind=anon", "size=4096")
    fd = os.pidfd_open(pid)
    try:
        assert select.select([fd], [], [], 0.3)[0] == []
        assert status(pid)["State"][0] in "SR"
    finally:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)


# Kinds of memory.


def test_anon_has_small_pages_without_thp(procs):
    with hog(procs, size=8 * M) as (pid, _said):
        assert smaps(pid, "AnonHugePages") == 0


def test_thp_has_only_the_huge_pages_that_fit_its_size(procs):
    with hog(procs, size=9 * M, thp=1) as (pid, _said):
        assert smaps(pid, "AnonHugePages") == 8 * M
        assert 9 * M <= size_of(pid, "RssAnon") <= 9 * M + (20 << 10)


def test_shmem_is_mapped_so_that_the_oom_killer_sees_it(procs):
    with hog(procs, "shmem", 8 * M) as (pid, _said):
        assert size_of(pid, "RssShmem") == 8 * M
        assert size_of(pid, "RssAnon") <= 16 << 10


def test_mlock_is_locked(procs):
    with hog(procs, "mlock", 8 * M) as (pid, _said):
        assert size_of(pid, "VmLck") == 8 * M
        assert size_of(pid, "RssAnon") >= 8 * M


@pytest.fixture
def huge_pages():
    """Set vm.nr_hugepages for one test."""
    before = HUGE.read_text()

    def set_to(pages: int) -> None:
        HUGE.write_text(str(pages))
        if int(HUGE.read_text()) != pages:
            pytest.skip("this machine cannot spare huge pages")

    try:
        yield set_to
    finally:
        HUGE.write_text(before)


@needs_root
def test_hugetlb_takes_reserved_pages(procs, huge_pages):
    huge_pages(4)
    with hog(procs, "hugetlb", 8 * M) as (pid, _said):
        assert size_of(pid, "HugetlbPages") == 8 * M
    soon(lambda: "HugePages_Free:        4" in Path("/proc/meminfo").read_text())


@needs_root
def test_hugetlb_fails_without_reserved_pages(procs, huge_pages):
    huge_pages(0)
    pid, reader = start(procs, "x", "kind=hugetlb", "adj=0", f"size={8 * M}")
    last = listen(reader)[-1]
    assert (last.step, last.error) == (Step.MAP, errno.ENOMEM)
    os.waitpid(pid, 0)


def resident(path: Path) -> int:
    """Return how much of a file is in the page cache, as fincore of util-linux counts it."""
    done = subprocess.run(
        ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def test_a_file_that_it_writes_is_in_the_page_cache(procs):
    path = Path(tempfile.mkstemp(dir="/var/tmp")[1])
    try:
        with hog(procs, "file", 8 * M + 5, file=path) as (pid, _said):
            assert path.stat().st_size == 8 * M + 5
            assert resident(path) >= 8 * M
            assert size_of(pid, "VmRSS") <= 24 << 10  # the zero page is nobody's
    finally:
        path.unlink()


@pytest.fixture
def data():
    """A file of 32 MiB on a disk."""
    path = Path("/var/tmp/oomctl test data")
    path.write_bytes(bytes(32 * M))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    yield path
    path.unlink()


def test_an_existing_file_is_read_up_to_the_size(procs, data):
    with hog(procs, "file", 2 * M, path=data) as (pid, _said):
        assert 2 * M <= resident(data) < 16 * M  # as far as it was read ahead
        assert size_of(pid, "VmRSS") <= 20 << 10


@pytest.mark.parametrize(
    ("path", "step", "error"),
    [
        ("/var/tmp/oomctl test data", Step.FILL, errno.ENODATA),
        ("/no such file", Step.MAP, errno.ENOENT),
        ("/", Step.FILL, errno.EINVAL),
    ],
)
def test_an_unsuitable_file_is_reported(procs, data, path, step, error):
    pid, reader = start(procs, "x", "kind=file", "adj=0", f"size={32 * M + 1}", f"path={path}")
    last = listen(reader)[-1]
    assert (last.step, last.error) == (step, error)
    os.waitpid(pid, 0)


def test_a_fifo_is_refused_without_waiting(procs, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = f"path={tmp_path / 'pipe'}"
    pid, reader = start(procs, "x", "kind=file", "adj=0", "size=1", path)
    last = listen(reader)[-1]
    assert (last.step, last.error) == (Step.MAP, errno.ESPIPE)
    os.waitpid(pid, 0)


def unread(pipe: str) -> int:
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
    finally:
        os.close(fd)


def in_pipes(pid: int) -> int:
    """Add up the unread bytes in the pipes of a process."""
    found = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it closes those that are full
            if (name := str(fd.readlink())).startswith("pipe:"):
                found[name] = unread(str(fd))
    return sum(found.values())


@pytest.mark.parametrize(("kind", "most"), [("pipe", 1), ("socket", 16)])
def test_kernel_memory_belongs_to_no_task(procs, kind, most):
    """One descriptor holds up to `most` MiB; the last one still has both ends."""
    with hog(procs, kind, 32 * M) as (pid, said):
        assert said.bytes == 32 * M
        assert size_of(pid, "VmRSS") <= 24 << 10
        held = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        assert sum(name.startswith(kind) for name in held) >= 32 // most
        if kind == "pipe":
            assert in_pipes(pid) == 32 * M


@needs_root
def test_slab_is_a_tmpfs_that_is_not_mounted_on_a_path(procs):
    mounts = Path("/proc/self/mounts").read_text()
    with hog(procs, "slab", 2 * M) as (pid, _said):
        assert Path(f"/proc/{pid}/mounts").read_text() == mounts
        assert size_of(pid, "VmRSS") <= 20 << 10
        (folder,) = [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_dir()]
        assert len(list(folder.iterdir())) >= 2048


def test_kernel_memory_that_is_not_charged_does_not_fill_forever(procs, tmp_path):
    charge = tmp_path / "memory.current"
    charge.write_text("0\n")
    pid, reader = start(procs, "x", "kind=pipe", "adj=0", f"size={M}", charge=charge)
    last = listen(reader)[-1]
    assert (last.step, last.error) == (Step.FILL, errno.EOPNOTSUPP)
    os.waitpid(pid, 0)


# Kinds of tasks.


def test_threads_share_one_memory(procs):
    with hog(procs, "threads", 16 * M, tasks=4) as (pid, said):
        assert status(pid)["Threads"] == "5"
        assert 16 * M <= size_of(pid, "RssAnon") <= 16 * M + (64 << 10)
        assert said.bytes == 16 * M
        comms = {path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")}
        assert comms == {"hog\n"}


def test_more_threads_than_pages(procs):
    with hog(procs, "threads", 8192, tasks=64) as (pid, said):
        assert status(pid)["Threads"] == "65"
        assert said.bytes == 8192


def test_a_forker_replaces_dead_children(procs):
    with hog(procs, "forker", 12 * M, tasks=3) as (pid, said):
        first = children(pid)
        assert len(first) == 3
        assert said.bytes == 12 * M
        assert all(4 * M <= size_of(child, "RssAnon") < 5 * M for child in first)
        assert size_of(pid, "RssAnon") < M
        os.kill(first[0], signal.SIGKILL)
        soon(lambda: len(set(children(pid)) - set(first)) == 1)
        (new,) = set(children(pid)) - set(first)
        soon(lambda: size_of(new, "RssAnon") >= 4 * M)
        now = children(pid)
        assert status(new)["Name"] == "hog"
    soon(lambda: all(map(gone, now)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_forker_reports_a_child_that_was_killed_while_it_filled(procs, number):
    words = "kind=forker", "adj=0", f"size={1 << 33}", "tasks=2", "rate=4096"
    pid, reader = start(procs, "x", *words)
    soon(lambda: len(children(pid)) == 1)
    child = children(pid)[0]
    os.kill(child, number)
    last = listen(reader)[-1]
    assert (last.step, last.error, last.child) == (Step.FILL, errno.ECHILD, child)
    assert os.WTERMSIG(last.status) == number
    assert exit_status(pid) == HogExit.CHILD_KILLED


def test_a_forker_reports_a_full_child_that_was_killed_while_others_filled(procs):
    words = "kind=forker", "adj=0", f"size={2 * M}", "tasks=2", f"rate={2 * M}"
    pid, reader = start(procs, "x", *words)
    soon(lambda: len(children(pid)) == 2)
    child = children(pid)[0]
    os.kill(child, signal.SIGKILL)
    last = listen(reader)[-1]
    assert (last.step, last.child, last.status) == (Step.FILL, child, signal.SIGKILL)
    assert exit_status(pid) == HogExit.CHILD_KILLED


@pytest.mark.parametrize("kind", ["threads", "forker"])
def test_with_size_0_it_still_has_all_its_tasks(procs, kind):
    """A forker without a child would end at once."""
    with hog(procs, kind, 0, tasks=3) as (pid, said):
        assert said.bytes == 0
        assert status(pid)["Threads"] == {"threads": "4", "forker": "1"}[kind]
        assert len(children(pid)) == {"threads": 0, "forker": 3}[kind]


def test_every_exit_status_of_a_hog_has_words():
    """`enum hog_exit` in hog/hog.h is HogExit."""
    (names,) = re.findall(r"enum hog_exit \{ (.*) = 0, (.*) \};", HEADER.read_text())
    assert ", ".join(names).split(", ") == [each.name for each in HogExit]
    assert all(own_end(each) for each in HogExit)
    assert own_end(len(HogExit)) is None


def test_every_exit_of_a_hog_uses_the_enum():
    """A bare number would have no words."""
    sources = HEADER.parent.glob("*.c")
    given = {word for path in sources for word in re.findall(r"leave\((.*)\);", path.read_text())}
    names = {name for word in given for name in re.findall(r"\w+", word)} - {"hog", "child"}
    assert names == {each.name for each in HogExit}


def test_a_sharer_has_the_memory_in_another_cgroup(procs, tmp_path):
    other = tmp_path / "sharer's procs"
    other.touch()
    with hog(procs, "shared", 8 * M, sharer=other) as (pid, _said):
        (sharer,) = children(pid)
        assert other.read_text() == procs.read_text() == "0"
        assert status(sharer)["Tgid"] == str(sharer)
        assert size_of(sharer, "RssAnon") == size_of(pid, "RssAnon") >= 8 * M
        assert Path(f"/proc/{sharer}/maps").read_text() == Path(f"/proc/{pid}/maps").read_text()
    soon(lambda: gone(sharer))


def test_a_stopped_hog_stops_after_its_last_report(procs):
    with hog(procs, "stopped", 4 * M) as (pid, _said):
        soon(lambda: status(pid)["State"][0] == "T")
        assert size_of(pid, "RssAnon") >= 4 * M
        os.kill(pid, signal.SIGCONT)
        soon(lambda: status(pid)["State"][0] == "S")


def traced(procs, *words: str) -> tuple[int, int]:
    pid, reader = start(procs, "x", "kind=traced", "adj=7", f"size={4 * M}", *words)
    said = listen(reader)
    assert [report.step for report in said] == [Step.TRACE, *DONE]
    (tracer,) = children(pid)
    assert status(pid)["TracerPid"] == str(tracer)
    return pid, tracer


def test_a_traced_hog_is_stopped_at_its_exit(procs):
    adj = Path("/proc/self/oom_score_adj").read_text()
    pid, tracer = traced(procs, f"hold={400_000_000}")
    assert Path(f"/proc/{tracer}/oom_score_adj").read_text() == adj
    assert size_of(tracer, "RssAnon") < M
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    soon(lambda: status(pid)["State"][0] == "t")
    assert size_of(pid, "RssAnon") >= 4 * M
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert 0.4 <= time.monotonic() - began < 10
    soon(lambda: gone(tracer))


def test_a_traced_hog_still_gets_its_signals(procs):
    pid, tracer = traced(procs, f"hold={10**12}")
    os.kill(pid, signal.SIGSTOP)
    soon(lambda: status(pid)["State"][0] in "Tt")
    time.sleep(0.05)
    assert status(pid)["State"][0] in "Tt"
    os.kill(pid, signal.SIGCONT)
    soon(lambda: status(pid)["State"][0] == "S")
    os.kill(pid, signal.SIGUSR1)
    # held on its way out, not merely stopped for the signal, which would be lost with the tracer
    soon(lambda: "poll" in Path(f"/proc/{tracer}/wchan").read_text())
    os.kill(tracer, signal.SIGKILL)  # another one to the hog would change nothing
    os.waitpid(pid, 0)


def test_a_released_tracer_does_not_stop_its_hog(procs):
    reader, writer = os.pipe()
    words = f"hold={10**12}", f"leash={reader}"
    os.set_inheritable(reader, True)
    pid, tracer = traced(procs, *words)
    os.close(reader)
    os.close(writer)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    soon(lambda: gone(tracer))


def test_a_traced_hog_outlives_its_tracer(procs):
    pid, tracer = traced(procs, f"hold={10**12}")
    os.kill(tracer, signal.SIGKILL)
    soon(lambda: status(pid)["TracerPid"] == "0")
    end(pid)


# The shape of the load.


@pytest.mark.parametrize(
    ("kind", "more"), [("anon", {}), ("threads", {"tasks": 4}), ("forker", {"tasks": 4})]
)
def test_a_rate_is_kept(procs, kind, more):
    with hog(procs, kind, 8 * M, rate=32 * M, **more) as (_pid, said):
        assert said.bytes == 8 * M
        assert 0.2e9 < said.took_ns - said.lost_ns < 0.5e9


def test_time_that_was_not_made_up_for_is_reported_as_lost(procs):
    """The hog is stopped in the middle of 1.3 s."""
    words = "kind=anon", "adj=0", f"size={64 * M}", f"rate={50 * M}"
    pid, reader = start(procs, "x", *words)
    try:
        soon(lambda: size_of(pid, "RssAnon") > 8 * M)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(pid, signal.SIGCONT)
        last = listen(reader)[-1]
        assert 1.3e9 < last.lost_ns < 5e9
        assert last.took_ns > 2.5e9
        assert last.bytes == 64 * M
    finally:
        end(pid)


def test_a_rate_beyond_the_machine_fills_as_fast_as_it_can(procs):
    with hog(procs, size=64 * M, rate=1 << 62) as (_pid, said):
        assert said.bytes == 64 * M


@pytest.mark.parametrize(
    ("kind", "more"), [("anon", {}), ("mlock", {}), ("shmem", {}), ("threads", {"tasks": 2})]
)
def test_a_working_set_is_touched_again_and_again(procs, kind, more):
    with hog(procs, kind, 8 * M, touch=4 * M, **more) as (pid, _said):
        Path(f"/proc/{pid}/clear_refs").write_text("1")
        soon(lambda: smaps(pid, "Referenced") >= 4 * M)
        assert smaps(pid, "Referenced") < 6 * M
        before = sum(psutil.Process(pid).cpu_times()[:2])
        time.sleep(0.5)
        assert sum(psutil.Process(pid).cpu_times()[:2]) - before < 0.25


def test_without_a_working_set_it_sleeps(procs):
    with hog(procs, size=8 * M) as (pid, _said):
        Path(f"/proc/{pid}/clear_refs").write_text("1")
        time.sleep(0.1)
        assert smaps(pid, "Referenced") < M
