"""Hogs in real cgroups: what the kernel charges for each kind, and in which counter."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from oomctl.bpf.declare import DeclareProgram
from oomctl.cgroup import removal
from oomctl.errors import UnsupportedError
from oomctl.hog import hogset, pagecache
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog
from oomctl.proc import procfs
from tests.kernel.leaves import SIZE, K, M, hog_set
from tests.unit.hog.binary import soon


@pytest.mark.parametrize(
    ("kind", "more", "stat", "slack"),
    [
        ("anon", {}, "anon", M),
        ("anon", {"thp": True}, "anon_thp", M),
        ("shmem", {}, "shmem", M),
        ("mlock", {}, "unevictable", M),
        ("pipe", {}, "kernel", 512 * K),
        ("socket", {}, "kernel", 512 * K),
        ("slab", {}, "slab", 512 * K),
        ("threads", {"tasks": 4}, "anon", M),
        ("forker", {"tasks": 4}, "anon", M),
        ("stopped", {}, "anon", M),
        ("traced", {}, "anon", M),
    ],
)
def test_each_kind_is_charged_in_its_counter(leaf, watch, kind, more, stat, slack):
    place = leaf("a")
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, kind, **more)) as running:
        charged, counters = place.charged, place.counters("memory.stat")
        print(f"{kind}: {charged / SIZE:.3f} of its size,", running.runners[0].filled)
        print(
            {key: value for key, value in counters.items() if value > 100 * K and "pg" not in key}
        )
        assert SIZE - 128 * K <= charged <= SIZE + slack
        assert 0.85 * SIZE <= counters[stat] <= SIZE + slack
        if stat == "anon":
            assert counters["pagetables"] >= SIZE / 512
        assert counters["anon"] <= M or stat in ("anon", "anon_thp", "unevictable")
        holds = running.runners[0].holds
        assert holds.differs == ""
        held = {"unevictable": "locked"}.get(stat, stat)
        assert 0.85 * SIZE <= getattr(holds, held) <= SIZE + slack
        assert holds.source == "cgroup"
        assert holds.sock == 0  # AF_UNIX is charged as kernel memory


def test_two_kinds_in_one_cgroup_count_what_they_write(leaf, watch):
    """Neither can tell its own charge from that of the other."""
    place = leaf("a")
    wanted = [Hog(kind, 8 * M, 0, place.cgroup, kind) for kind in ("pipe", "slab")]
    with hog_set(watch, *wanted):
        assert 14 * M <= place.charged <= 20 * M


@pytest.fixture(scope="module")
def big() -> Path:
    """A large file of the host, which the guest reads through 9p."""
    large = (path for path in Path("/usr/lib").glob("*/lib*.so*") if path.stat().st_size > 2 * SIZE)
    return next(large, None) or pytest.skip("no large file here")


def test_an_existing_file_is_page_cache(leaf, watch, big):
    place = leaf("a")
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, "file", path=str(big))) as running:
        counters = place.counters("memory.stat")
        assert SIZE <= counters["file"] <= SIZE + 8 * M  # with readahead
        assert counters["shmem"] == 0
        assert SIZE <= running.runners[0].holds.file <= SIZE + 8 * M
        assert SIZE <= place.charged <= SIZE + 10 * M


def test_page_cache_below_a_limit_is_reclaimed(leaf, watch, big):
    place = leaf("a")
    place.limit(SIZE // 2)
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, "file", path=str(big))) as running:
        assert running.runners[0].filled
        assert re.fullmatch(
            r"holds [\d.]+M of page cache, not 24M of page cache", running.runners[0].holds.differs
        )
        assert place.charged <= SIZE // 2
        assert place.counters("memory.events")["oom_kill"] == 0


def test_a_new_file_is_page_cache(leaf, watch):
    """Not in the guest's root, which is an overlay on a tmpfs."""
    place = leaf("a")
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, "file")) as running:
        counters = place.counters("memory.stat")
        assert SIZE <= counters["file"] <= SIZE + M
        assert counters["shmem"] == 0
        assert SIZE <= place.charged <= SIZE + 2 * M
        assert running.runners[0].holds.differs == ""
        (place.directory / "memory.reclaim").write_text(str(SIZE // 2))
        assert place.charged <= SIZE // 2 + 2 * M
        assert place.counters("memory.stat")["file"] <= SIZE // 2 + M
    soon(lambda: place.charged < M)


def test_a_file_is_refused_if_no_folder_has_page_cache(leaf, watch, monkeypatch):
    place = leaf("a")
    monkeypatch.setattr(pagecache, "LAB_DISK", Path("/nowhere"))
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    monkeypatch.setenv("OOMCTL_CACHE", "/tmp")
    monkeypatch.chdir("/run")
    with (
        pytest.raises(UnsupportedError) as caught,
        hog_set(watch, Hog("a", SIZE, 0, place.cgroup, "file")),
    ):
        pass
    print(caught.value)
    for folder in ("/dev/shm", "/var/tmp", "/run", "/tmp"):
        assert f"{folder} holds them as shmem" in str(caught.value)
    assert "TMPDIR" in caught.value.hint


def test_a_file_in_a_tmpfs_is_reported_as_shmem(leaf, watch, monkeypatch):
    place = leaf("a")
    monkeypatch.setattr(hogset, "find_place", lambda _size: Path("/dev/shm"))
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, "file")) as running:
        holds = running.runners[0].holds
        assert holds.differs == "holds 0 of page cache, 24M of shmem, not 24M of page cache"
        assert SIZE <= holds.shmem <= SIZE + M


def test_hogs_that_share_a_cgroup_are_read_in_proc(leaf, watch):
    place = leaf("a")
    wanted = [
        Hog("a", 8 * M, 0, place.cgroup, "anon", thp=True),
        Hog("b", 4 * M, 0, place.cgroup, "shmem"),
        Hog("c", 4 * M, 0, place.cgroup, "forker", tasks=2),
        Hog("d", 4 * M, 0, place.cgroup, "pipe"),
    ]
    with hog_set(watch, *wanted) as running:
        a, b, c, d = (running_hog.holds for running_hog in running.runners)
        assert {each.source for each in (a, b, c, d)} == {"process"}
        assert {each.differs for each in (a, b, c, d)} == {""}
        assert 8 * M <= a.anon <= 9 * M
        assert a.anon_thp == 8 * M
        assert b.shmem == 4 * M
        assert 4 * M <= c.anon <= 5 * M
        assert d.kernel is None


def test_swapped_memory_is_reported(leaf, watch, tmp_path):
    if not Path("/sys/module/zram").exists() and subprocess.run(["modprobe", "zram"]).returncode:
        pytest.skip("no zram")
    Path("/sys/block/zram0/disksize").write_text("128M")
    subprocess.run(["mkswap", "/dev/zram0"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", "/dev/zram0"], check=True)
    place = leaf("a")
    (place.directory / "memory.high").write_text(str(SIZE // 2))
    try:
        with hog_set(watch, Hog("a", SIZE, 0, place.cgroup)) as running:
            holds = running.runners[0].holds
            print(holds)
            assert re.fullmatch(
                r"holds [\d.]+M of anonymous memory, [\d.]+M of swap, not 24M of anonymous memory",
                holds.differs,
            )
            assert SIZE - M <= holds.anon + holds.swap <= SIZE + M
    finally:
        subprocess.run(["swapoff", "/dev/zram0"], check=True)
        Path("/sys/block/zram0/reset").write_text("1")


def test_huge_pages_are_not_charged_to_memory_current(leaf, watch, sysctl):
    sysctl("vm.nr_hugepages", 8)
    place = leaf("a")
    with hog_set(watch, Hog("a", 16 * M, 0, place.cgroup, "hugetlb")) as running:
        status = Path(f"/proc/{running.runners[0].pid}/status").read_text()
        assert f"HugetlbPages:\t   {16 * K} kB" in status
        assert running.runners[0].holds.hugetlb == 16 * M
        assert running.runners[0].holds.differs == ""
        assert place.charged < M


def test_all_memory_is_freed_at_the_end(leaf, watch):
    place = leaf("a")
    for kind in ("pipe", "socket", "slab", "shmem"):
        with hog_set(watch, Hog("a", 8 * M, 0, place.cgroup, kind)):
            pass
        soon(lambda: place.charged < M)


def test_a_forker_replaces_killed_children(leaf, watch):
    """It calls only while both children are full: then one of them is the largest task."""
    place = leaf("a")
    wanted = Hog("a", 16 * M, 0, place.cgroup, "forker", tasks=2)
    seen = set()

    def full() -> int:
        held = {child.pid for child in forker.children() if holds(child, 8 * M)}
        seen.update(held)
        return len(held)

    def kill_one(kills: int) -> None:
        program.run(Call(None, 0, WAIT_ON_OOM_LOCK), place.directory.stat().st_ino, 0)
        assert program.read(0).ret == 1
        soon(lambda: full() == 2 and len(seen) == 2 + kills)
        assert place.counters("memory.events")["oom_kill"] == kills

    with hog_set(watch, wanted) as running, DeclareProgram() as program:
        forker = psutil.Process(running.runners[0].pid)
        assert full() == 2
        for kills in (1, 2, 3):
            kill_one(kills)
        running.require_alive()


def holds(process: psutil.Process, size: int) -> bool:
    try:
        return process.memory_info().rss >= size
    except psutil.NoSuchProcess:
        return False


def test_a_sharer_in_another_cgroup_is_charged_nothing(leaf, watch):
    place, other = leaf("a"), leaf("b")
    wanted = Hog("a", SIZE, 0, place.cgroup, "shared", sharer=other.cgroup)
    with hog_set(watch, wanted) as running:
        (sharer,) = psutil.Process(running.runners[0].pid).children()
        assert Path(f"/proc/{sharer.pid}/cgroup").read_text() == f"0::{other.cgroup}\n"
        assert sharer.memory_info().rss >= SIZE
        assert SIZE <= place.charged <= SIZE + M
        assert other.charged <= 512 * K
    soon(lambda: not (other.directory / "cgroup.procs").read_text())


def test_a_traced_hog_keeps_its_memory_after_it_is_killed(leaf, watch):
    place = leaf("a")
    wanted = Hog("a", SIZE, 0, place.cgroup, "traced", hold=5)
    with hog_set(watch, wanted) as running:
        pid = running.runners[0].pid
        (tracer,) = psutil.Process(pid).children()
        assert Path(f"/proc/{tracer.pid}/cgroup").read_text() != f"0::{place.cgroup}\n"
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.7)
        assert place.charged >= SIZE
        assert watch.wait(lambda: pid in watch.deaths, 20)
        assert time.monotonic() - began >= 5
        soon(lambda: place.charged < M)


def test_a_cgroup_is_removed_with_a_process_whose_leader_has_ended(leaf, watch):
    """cgroup.kill alone does not end it."""
    place = leaf("a")
    wanted = Hog("a", M, 0, place.cgroup, "threads", tasks=2, leader_exits=True)
    with hog_set(watch, wanted) as running:
        assert procfs.memory_holder(running.runners[0].pid) != running.runners[0].pid
        assert removal.remove(place.directory, place.directory.stat().st_ino)
        assert watch.wait(lambda: running.runners[0].pid in watch.deaths, 20)
    assert not place.directory.exists()


def test_a_working_set_stays_in_memory(leaf, watch):
    place = leaf("a")
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, working_set=SIZE)) as running:
        time.sleep(0.2)
        running.require_alive()
        assert SIZE <= place.charged <= SIZE + M
