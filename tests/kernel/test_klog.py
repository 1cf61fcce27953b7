"""What the kernel really prints of its OOM kills is read right; killers here are memory limits."""

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oomctl.oom.kill import OomKill
from oomctl.oom.klog import KillsFromLog
from oomctl.proc.kmsg import Kmsg
from oomctl.text import printable
from tests.kernel.conftest import CGROUPS, tear_down

Declare = Callable[..., tuple[int, dict[str, Any]]]
M = 1 << 20
LIMITED_S = 5.1  # reports are limited to 10 in 5 s


@pytest.fixture
def top() -> Iterator[Path]:
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    path = CGROUPS / "klog"
    path.mkdir()
    (path / "cgroup.subtree_control").write_text("+memory")
    time.sleep(LIMITED_S)
    try:
        yield path
    finally:
        tear_down(path)


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Let /dev/kmsg take any number of records."""
    limit = Path("/proc/sys/kernel/printk_devkmsg")
    before = limit.read_text()
    limit.write_text("on\n")
    yield
    limit.write_text(before)


def child(cgroup: Path, size: int, comm: bytes = b"hog", uid: int = 0) -> int:
    """Start a process in a cgroup that fills so many bytes, then sleeps; return its PID."""
    entry = os.open(cgroup / "cgroup.procs", os.O_WRONLY)
    ready, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        os.close(entry)
        os.read(ready, 1)
        os.close(ready)
        return pid
    try:
        os.write(entry, b"0")
        Path("/proc/self/comm").write_bytes(comm)
        Path("/proc/self/oom_score_adj").write_text("0")
        if uid:
            ctypes.CDLL(None).syscall(117, uid, uid, uid)  # setresuid, of any 32 bits
        memory = mmap.mmap(-1, size)
        memory.madvise(23)  # MADV_POPULATE_WRITE
        os.write(told, b"x")
        time.sleep(600)
    finally:
        os._exit(9)


def limited(path: Path, limit: int = 4 * M, group: bool = False) -> Path:
    path.mkdir()
    (path / "memory.max").write_text(str(limit))
    (path / "memory.oom.group").write_text(str(int(group)))
    return path


def killed(pid: int) -> int:
    status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    return pid


def name_of(cgroup: Path) -> str:
    return f"/{cgroup.relative_to(CGROUPS)}"


def only(log: Kmsg) -> OomKill:
    (kill,) = KillsFromLog().feed(log.read().records)
    return kill


@pytest.mark.parametrize(
    "comm",
    [
        b"x,task=y",
        b"a\nb\\c",
        b") total-vm:1kB",
        b",pid=1,uid=0",
        b"\x016loud",
        b"\xff\xfe \x1b[31m",
        b" invoked oom-ki",
    ],
)
def test_a_limit_s_kill_is_told_whole_whatever_its_comm(top: Path, comm: bytes) -> None:
    cgroup = limited(top / "x,task_memcg=y z,task=x")
    with Kmsg() as log:
        pid = killed(child(cgroup, 16 * M, comm))
        kill = only(log)
    shown = printable(os.fsdecode(comm))
    assert (kill.pid, kill.comm) == (pid, shown)
    assert (kill.cgroup, kill.memcg, kill.group) == (name_of(cgroup), name_of(cgroup), None)
    assert (kill.invoker_pid, kill.invoker_comm) == (pid, shown)
    assert (kill.order, kill.constraint, kill.allocating) == (0, "memcg", False)


def test_a_comm_that_makes_a_continuation_of_the_header_hides_no_more_than_that(top: Path) -> None:
    cgroup = limited(top / "a")
    with Kmsg() as log:
        pid = killed(child(cgroup, 16 * M, b"\x01cx"))
        kill = only(log)
    assert (kill.pid, kill.comm, kill.cgroup) == (pid, r"\x01cx", name_of(cgroup))
    assert kill.invoker_pid is None


@pytest.mark.parametrize("uid", [2**32 - 2, 3_000_000_000])
def test_a_uid_that_the_kernel_prints_as_negative(top: Path, uid: int) -> None:
    cgroup = limited(top / "a")
    with Kmsg() as log:
        pid = killed(child(cgroup, 16 * M, uid=uid))
        kill = only(log)
    assert (kill.pid, kill.cgroup, kill.invoker_pid) == (pid, name_of(cgroup), pid)


@pytest.mark.parametrize(("depth", "known"), [(2, True), (3, True), (5, False), (12, False)])
def test_a_long_path_is_put_together_and_one_that_was_cut_is_not_told(
    top: Path, depth: int, known: bool
) -> None:
    cgroup = top
    for n in range(depth):
        cgroup = cgroup / (f"{n}" + "x" * 240)
        cgroup.mkdir()
        if n + 1 < depth:
            (cgroup / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.oom.group").write_text("1")
    (cgroup / "memory.max").write_text(str(4 * M))
    with Kmsg() as log:
        idle = child(cgroup, 4096)
        pid = killed(child(cgroup, 16 * M))
        killed(idle)
        first, member = KillsFromLog().feed(log.read().records)
    path = name_of(cgroup) if known else None
    assert (first.pid, first.cgroup, first.memcg, first.group) == (pid, path, path, path)
    assert (member.pid, member.group, member.invoker_pid) == (idle, path, pid)


def test_a_process_whose_leader_has_ended_is_named_by_its_process(top: Path) -> None:
    cgroup = limited(top / "a")
    ready, told = os.pipe()
    entry, go = os.pipe()
    pid = os.fork()
    if not pid:
        import threading

        (cgroup / "cgroup.procs").write_text("0")

        def fill() -> None:
            leader = Path(f"/proc/{os.getpid()}/stat")
            while " Z " not in leader.read_text():
                time.sleep(0.01)
            os.write(told, b"%d" % threading.get_native_id())
            os.read(entry, 1)
            mmap.mmap(-1, 16 * M).madvise(23)
            time.sleep(600)

        threading.Thread(target=fill).start()
        ctypes.CDLL(None).syscall(60, 0)  # exit(2): of this thread alone
    with Kmsg() as log:
        thread = int(os.read(ready, 20))
        os.write(go, b"x")
        killed(pid)
        kill = only(log)
    assert (kill.pid, kill.invoker_pid) == (pid, thread)
    assert kill.cgroup == name_of(cgroup)


def test_sysrq_s_kill(top: Path) -> None:
    pid = child(limited(top / "a", 64 * M), 24 * M)
    Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    with Kmsg() as log:
        Path("/proc/sysrq-trigger").write_text("f")
        killed(pid)
        kill = only(log)
    assert (kill.pid, kill.cgroup, kill.memcg) == (pid, "/klog/a", None)
    assert (kill.constraint, kill.order, kill.oom_score_adj) == ("none", -1, 1000)
    assert (kill.invoker_comm or "").startswith("kworker/")


def test_no_kill_of_a_burst_has_a_fact_of_another(top: Path) -> None:
    """282 kills by limits, singly and in groups, most of them without a report."""
    told: dict[int, tuple[str, str | None, set[int]]] = {}
    single = limited(top / "single")
    groups = [limited(top / f"group-{n}", group=True) for n in range(2)]
    (top / "shrunk").mkdir()
    found = KillsFromLog()
    kills: list[OomKill] = []
    with Kmsg() as log:
        for n in range(47):
            pid = killed(child(single, 16 * M))
            told[pid] = name_of(single), None, {pid}
            group = groups[n % 2]
            members = [child(group, 4096), child(group, 4096)]
            members.append(child(group, 16 * M))
            for pid in members:
                killed(pid)
                told[pid] = name_of(group), name_of(group), set(members)
            shrunk = [child(top / "shrunk", 2 * M) for _ in range(2)]
            (top / "shrunk" / "memory.max").write_text("4096")
            for pid in shrunk:
                killed(pid)
                told[pid] = name_of(top / "shrunk"), None, {os.getpid(), *shrunk}
            (top / "shrunk" / "memory.max").write_text("max")
            seen = log.read()
            assert seen.lost == 0
            kills += found.feed(seen.records)
    assert len(told) == 282
    assert sorted(kill.pid for kill in kills) == sorted(told)
    for kill in kills:
        cgroup, group_path, triggers = told[kill.pid]
        assert kill.cgroup in (None, cgroup)
        assert kill.memcg in (None, cgroup)
        assert kill.group in (None, group_path)
        assert kill.invoker_pid is None or kill.invoker_pid in triggers
        assert (kill.order, kill.constraint) in ((None, "memcg"), (0, "memcg"))
    reported = sum(kill.invoker_pid is not None for kill in kills)
    print(
        f"{reported} of {len(kills)} have a report,", sum(bool(k.group) for k in kills), "a group"
    )
    assert 10 <= reported < 200


@pytest.mark.usefixtures("unlimited")
def test_what_a_flood_overwrites_before_the_first_read_is_counted() -> None:
    size = ctypes.CDLL(None).klogctl(10, None, 0)  # SYSLOG_ACTION_SIZE_BUFFER
    # one descriptor for 32 bytes of it (kernel/printk/printk.c, PRB_AVGBITS)
    said = size // 32 + 5000
    with Kmsg() as log:
        flood = os.open("/dev/kmsg", os.O_WRONLY)
        for _ in range(said):
            os.write(flood, b"<7>flood\n")
        os.close(flood)
        seen = log.read()
    left = sum(b";flood" in record for record in records())
    assert 0 < left < said
    assert said - left <= seen.lost <= said - left + 100


def records() -> Iterator[bytes]:
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            yield os.read(fd, 8192)
    except BlockingIOError:
        return
    finally:
        os.close(fd)


@pytest.mark.usefixtures("unlimited")
def test_a_log_with_a_hole_agrees_with_nothing(declare: Declare) -> None:
    code = (
        "import os\nfd = os.open('/dev/kmsg', os.O_WRONLY)\nwhile True: os.write(fd, b'<7>flood')"
    )
    flood = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
    try:
        _code, result = declare("--hog", "8M")
    finally:
        flood.kill()
        flood.wait()
    evidence = result["calls"][0]["evidence"]
    assert evidence["agree"] is (None if evidence["lost"] else True)
