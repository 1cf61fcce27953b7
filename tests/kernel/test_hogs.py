"""Hogs in real cgroups: what the kernel charges for each kind, and in which counter."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import psutil
import pytest

from oomctl.bpf.declare import DeclareProgram
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.removal import remove
from oomctl.errors import UnsupportedError
from oomctl.hog import hogset, pagecache
from oomctl.hog.hogset import HogSet, NotFilledError
from oomctl.oom.hogexit import HogExit
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog, HogKind
from oomctl.proc.kmsg import Kmsg
from oomctl.proc.pidfd import PidfdWatch

K, M = 1 << 10, 1 << 20
SIZE = 24 * M
TOP = "hog tests"
ROOT = UnifiedNode("/sys/fs/cgroup")


SCENARIOS = {
    "forker": (
        """
        cgroup.".".memory.max = "8M"
        hog.h = { size = "4M", kind = "forker", tasks = 200, may_fail = true }
        """,
        r"could not fill its memory: its child \(pid \d+\) was oom-killed: "
        r"memory\.max of TOP \(8M\) is reached",
    ),
    "tiny": (
        """
        cgroup.".".memory.max = "64M"
        cgroup.a.memory.max = 0
        hog.h = { size = 0, cgroup = "a", may_fail = true }
        hog.ok = { size = "4M" }
        """,
        r"could not set its oom_score_adj: Cannot allocate memory: "
        r"memory\.max of TOP/a \(0\) is reached",
    ),
    "tasks": (
        """
        cgroup.a.pids.max = 3
        hog.h = { size = "4M", kind = "threads", tasks = 9, cgroup = "a", may_fail = true }
        hog.ok = { size = "4M" }
        """,
        r"could not fill its memory: Resource temporarily unavailable: "
        r"pids\.max of TOP/a \(3\) is reached",
    ),
}
"""Scenarios with a hog `h` that does not reach its size, and the reason that is reported."""


class Leaf:
    """A cgroup of the test and its counters."""

    def __init__(self, name: str) -> None:
        self.cgroup = f"/{TOP}/{name}"
        self.directory = ROOT.at(self.cgroup).directory
        self.directory.mkdir()

    @property
    def charged(self) -> int:
        return int((self.directory / "memory.current").read_text())

    def counters(self, file: str) -> dict[str, int]:
        lines = (self.directory / file).read_text().splitlines()
        return {key: int(value) for key, value in map(str.split, lines)}

    def limit(self, size: int) -> None:
        (self.directory / "memory.max").write_text(str(size))
        self.swapless()

    def swapless(self) -> None:
        if (swap := self.directory / "memory.swap.max").exists():
            swap.write_text("0")


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


def hog_set(watch: PidfdWatch, *wanted: Hog, timeout: float = 120.0) -> HogSet:
    return HogSet(wanted, ROOT, watch, timeout)


@contextlib.contextmanager
def observed(watch: PidfdWatch, *wanted: Hog) -> Iterator[HogSet]:
    """A HogSet that knows from the kernel log which tasks the OOM killer has killed."""
    with Kmsg() as log:
        log.read()
        taken: set[int] = set()

        def oom_killed(pid: int) -> bool:
            taken.update(kill.pid for kill in log.read().kills)
            return pid in taken

        with HogSet(wanted, ROOT, watch, 120.0, oom_killed=oom_killed) as running:
            yield running


def soon(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


# Limits.


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("kind", ["anon", "shmem", "mlock", "pipe", "socket", "slab", "threads"])
def test_a_limit_is_an_outcome_of_a_hog_that_may_fail(leaf, watch, kind, above):
    place = leaf("a")
    if above:
        (place.directory.parent / "memory.max").write_text(str(8 * M))
    else:
        place.limit(8 * M)
    wanted = Hog("a", SIZE, 0, place.cgroup, kind, tasks=2, may_fail=True)
    with observed(watch, wanted) as running:
        (running_hog,) = running.runners
        assert running_hog.filled is None
        print(kind, above, running_hog.failed)
        how, _, limit = running_hog.failed.removeprefix("could not fill its memory: ").partition(
            ": "
        )
        assert how in ("oom-killed", "Cannot allocate memory", "No buffer space available")
        assert limit == f"memory.max of {f'/{TOP}' if above else place.cgroup} (8M) is reached"
        running.require_alive()
        assert place.counters("memory.events")["oom_kill"] == (how == "oom-killed")


def test_a_limit_ends_hogs_that_must_not_fail(leaf, watch):
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, 0, place.cgroup)
    with pytest.raises(NotFilledError) as caught, observed(watch, wanted):
        pass
    assert caught.value.reason == (
        f"could not fill its memory: oom-killed: memory.max of {place.cgroup} (8M) is reached"
    )
    assert caught.value.hint == "raise it, or ask for less"


@pytest.mark.parametrize("kind", ["anon", "shmem", "pipe", "socket", "slab"])
def test_below_a_limit_a_hog_that_cannot_be_killed_gets_enomem(leaf, watch, kind):
    """With oom_score_adj -1000 no task can be killed, so the charge itself fails."""
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, -1000, place.cgroup, kind)
    with pytest.raises(NotFilledError) as caught, observed(watch, wanted):
        pass
    print(kind, caught.value.reason)
    assert caught.value.reason.startswith("could not fill its memory: ")
    assert caught.value.reason.endswith(f": memory.max of {place.cgroup} (8M) is reached")
    assert "killed" not in caught.value.reason


def test_a_forker_whose_children_do_not_fit(leaf, watch):
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, 0, place.cgroup, "forker", tasks=2, may_fail=True)
    with observed(watch, wanted) as running:
        (running_hog,) = running.runners
        assert re.fullmatch(
            r"could not fill its memory: its child \(pid \d+\) was oom-killed: "
            rf"memory\.max of {place.cgroup} \(8M\) is reached",
            running_hog.failed,
        )
        soon(lambda: not (place.directory / "cgroup.procs").read_text())
        running.require_alive()
        assert watch.deaths[running_hog.pid].status == HogExit.CHILD_KILLED


TINY = list(
    product(
        [(0, "0"), (4 * M, "0"), (0, "4K"), (4 * M, "4K"), (4 * M, "160K")],
        get_args(HogKind),
        [False, True],
    )
)
"""Size and limit, kind, and whether the limit is in the parent; every seventh has each of them."""


@pytest.mark.parametrize(
    ("sizes", "kind", "above"), TINY if os.environ.get("OOMCTL_LIMITS") else TINY[::7]
)
def test_every_kind_of_hog_names_a_tiny_limit(leaf, watch, sysctl, sizes, kind, above):
    """Whatever step fails, the reason names the limit; otherwise the hog is filled and alive.

    Without reserved huge pages, a hog of kind hugetlb with a size cannot be filled at all.
    """
    sysctl("vm.nr_hugepages", 0)
    size, limit = sizes
    place, other = leaf("a"), leaf("b")
    (place.directory.parent if above else place.directory).joinpath("memory.max").write_text(limit)
    place.swapless()
    more = {"sharer": other.cgroup} if kind == "shared" else {}
    more |= {"hold": 0.1} if kind == "traced" else {}
    tasks = 2 if kind in ("threads", "forker") else 1
    wanted = Hog("a", size, 0, place.cgroup, kind, tasks=tasks, may_fail=True, **more)
    with observed(watch, wanted) as running:
        (running_hog,) = running.runners
        print(kind, size, limit, above, running_hog.failed or running_hog.filled)
        named = f": memory.max of {f'/{TOP}' if above else place.cgroup} ({limit}) is reached"
        if kind == "hugetlb" and size:
            assert not running_hog.filled
            no_huge_pages = "could not map its memory: Cannot allocate memory"
            assert running_hog.failed == no_huge_pages or running_hog.failed.endswith(named)
        else:
            assert running_hog.filled or running_hog.failed.endswith(named)
        running.require_alive()


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("kind", ["threads", "forker", "shared"])
def test_pids_max_is_named(leaf, watch, kind, above):
    place, other = leaf("a"), leaf("b")
    where = place.directory.parent if above else place.directory
    (where / "pids.max").write_text("1" if kind == "shared" else "3")
    more = {"sharer": other.cgroup} if kind == "shared" else {"tasks": 8}
    wanted = Hog("a", 4 * M, 0, place.cgroup, kind, may_fail=True, **more)
    with observed(watch, wanted) as running:
        value = 1 if kind == "shared" else 3
        at = f"/{TOP}" if above else place.cgroup
        assert running.runners[0].failed.endswith(
            f": Resource temporarily unavailable: pids.max of {at} ({value}) is reached"
        )
        running.require_alive()


def test_a_limit_on_huge_pages_is_named(leaf, watch, sysctl):
    sysctl("vm.nr_hugepages", 8)
    place = leaf("a")
    limit = place.directory.parent / "hugetlb.2MB.max"
    if not limit.exists():
        pytest.skip("no hugetlb controller")
    limit.write_text("4M")
    (place.directory / "hugetlb.2MB.max").write_text("64M")
    wanted = Hog("a", 16 * M, 0, place.cgroup, "hugetlb", may_fail=True)
    with observed(watch, wanted) as running:
        print(running.runners[0].failed)
        named = f": hugetlb.2MB.max of /{TOP} (4M) is reached"
        assert running.runners[0].failed.endswith(named)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_scenario_reports_why_a_hog_was_not_filled(oomctl, tmp_path, name):
    text, reason = SCENARIOS[name]
    path = tmp_path / "s.toml"
    path.write_text(text)
    done = oomctl("run", str(path), "--format", "json")
    assert done.exit_code in (0, 1), done.stderr
    (only,) = json.loads(done.stdout)["rounds"]
    tasks = [each for each in only["outcome"]["tasks"] if each["name"] == "h"]
    (task,) = (each for each in tasks if each["size_bytes"] is not None)  # not its children
    assert task["fate"] == "not-filled"
    assert task["holds"] is None
    assert re.fullmatch(reason.replace("TOP", "/oomctl-[0-9a-f-]+"), task["failed"])


# Tasks.


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
    wanted = Hog("a", SIZE, 0, place.cgroup, "traced", hold=1.5)
    with hog_set(watch, wanted) as running:
        pid = running.runners[0].pid
        (tracer,) = psutil.Process(pid).children()
        assert Path(f"/proc/{tracer.pid}/cgroup").read_text() != f"0::{place.cgroup}\n"
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.7)
        assert place.charged >= SIZE
        assert watch.wait(lambda: pid in watch.deaths, 20)
        assert time.monotonic() - began >= 1.5
        soon(lambda: place.charged < M)


def test_a_working_set_stays_in_memory(leaf, watch):
    place = leaf("a")
    with hog_set(watch, Hog("a", SIZE, 0, place.cgroup, working_set=SIZE)) as running:
        time.sleep(0.2)
        running.require_alive()
        assert SIZE <= place.charged <= SIZE + M
