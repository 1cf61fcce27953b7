"""The kinds of memory that the hog's binary fills."""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import tempfile
import termios
from pathlib import Path

import pytest

from oomctl.hog.protocol import Step
from tests.unit.hog.binary import (
    M,
    hog,
    listen,
    size_of,
    smaps,
    soon,
    start,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
HUGE = Path("/proc/sys/vm/nr_hugepages")


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
            assert size_of(pid, "VmRSS") <= 24 << 10  # the zero page counts for no task
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
