"""Hogs in real cgroups: what the kernel charges for each kind, and as what."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.deathwatch import DeathWatch
from oomctl.kernel.hogs import Herd, NotFilledError
from oomctl.kernel.loader import Loader
from oomctl.kernel.removal import remove
from oomctl.plan import WAIT_ON_OOM_LOCK, Call, Hog

K, M = 1 << 10, 1 << 20
SIZE = 24 * M
TOP = "hog tests"
ROOT = UnifiedNode("/sys/fs/cgroup")


class Leaf:
    """One cgroup of the test's own, and what the kernel says of it."""

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
        if (swap := self.directory / "memory.swap.max").exists():
            swap.write_text("0")


@pytest.fixture
def leaf() -> Iterator[Callable[[str], Leaf]]:
    (ROOT.directory / "cgroup.subtree_control").write_text("+memory")
    top = ROOT.create_cgroup(TOP)
    (top.directory / "cgroup.subtree_control").write_text("+memory")
    yield Leaf
    remove(top.directory, top.id, 20)


@pytest.fixture
def watch() -> Iterator[DeathWatch]:
    with DeathWatch() as watching:
        yield watching


def herd(watch: DeathWatch, *wanted: Hog, timeout: float = 120.0) -> Herd:
    return Herd(wanted, ROOT, watch, timeout)


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
def test_what_is_asked_for_is_charged_as_what_it_is(leaf, watch, kind, more, stat, slack):
    place = leaf("a")
    with herd(watch, Hog("a", SIZE, 0, place.cgroup, kind, **more)) as running:
        charged, counters = place.charged, place.counters("memory.stat")
        print(f"{kind}: {charged / SIZE:.3f} of what was asked for,", running.runners[0].filled)
        print(
            {key: value for key, value in counters.items() if value > 100 * K and "pg" not in key}
        )
        assert SIZE - 128 * K <= charged <= SIZE + slack
        assert 0.85 * SIZE <= counters[stat] <= SIZE + slack
        if stat == "anon":
            assert counters["pagetables"] >= SIZE / 512
        assert counters["anon"] <= M or stat in ("anon", "anon_thp", "unevictable")


def test_an_unlike_pair_in_one_cgroup_estimates(leaf, watch):
    """Neither can tell its own charge from the other's, so each counts what it wrote."""
    place = leaf("a")
    wanted = [Hog(kind, 8 * M, 0, place.cgroup, kind) for kind in ("pipe", "slab")]
    with herd(watch, *wanted):
        assert 14 * M <= place.charged <= 20 * M


@pytest.fixture(scope="module")
def big() -> Path:
    """A large file of the host, which the guest reads through 9p."""
    large = (path for path in Path("/usr/lib").glob("*/lib*.so*") if path.stat().st_size > 2 * SIZE)
    return next(large, None) or pytest.skip("no large file here")


def test_an_existing_file_is_page_cache(leaf, watch, big):
    place = leaf("a")
    with herd(watch, Hog("a", SIZE, 0, place.cgroup, "file", path=str(big))):
        counters = place.counters("memory.stat")
        assert SIZE <= counters["file"] <= SIZE + 8 * M  # as far as it was read ahead
        assert counters["shmem"] == 0
        assert SIZE <= place.charged <= SIZE + 10 * M


def test_page_cache_makes_room_where_a_limit_is(leaf, watch, big):
    place = leaf("a")
    place.limit(SIZE // 2)
    with herd(watch, Hog("a", SIZE, 0, place.cgroup, "file", path=str(big))) as running:
        assert running.runners[0].filled
        assert place.charged <= SIZE // 2
        assert place.counters("memory.events")["oom_kill"] == 0


def test_a_file_of_its_own_is_shmem_where_var_tmp_is_an_overlay_upon_tmpfs(leaf, watch):
    place = leaf("a")
    with herd(watch, Hog("a", SIZE, 0, place.cgroup, "file")):
        counters = place.counters("memory.stat")
        assert SIZE <= counters["file"] <= SIZE + M
        assert counters["shmem"] in (0, counters["file"])
        assert SIZE <= place.charged <= SIZE + 2 * M
    soon(lambda: place.charged < M)


def test_huge_pages_are_charged_elsewhere(leaf, watch, sysctl):
    sysctl("vm.nr_hugepages", 8)
    place = leaf("a")
    with herd(watch, Hog("a", 16 * M, 0, place.cgroup, "hugetlb")) as running:
        status = Path(f"/proc/{running.runners[0].pid}/status").read_text()
        assert f"HugetlbPages:\t   {16 * K} kB" in status
        assert place.charged < M


def test_all_of_it_is_given_back(leaf, watch):
    place = leaf("a")
    for kind in ("pipe", "socket", "slab", "shmem"):
        with herd(watch, Hog("a", 8 * M, 0, place.cgroup, kind)):
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
    with herd(watch, wanted) as running:
        (runner,) = running.runners
        assert runner.filled is None
        print(kind, above, runner.failed)
        assert runner.failed in (
            "could not fill its memory: killed SIGKILL by someone else",
            "could not fill its memory: Cannot allocate memory",
            "could not fill its memory: No buffer space available",
        )
        running.require_alive()
        assert place.counters("memory.events")["oom_kill"] in (0, 1)


def test_a_limit_ends_a_herd_that_must_not_fail(leaf, watch):
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, 0, place.cgroup)
    with pytest.raises(NotFilledError) as caught, herd(watch, wanted):
        pass
    assert caught.value.reason.endswith("killed SIGKILL by someone else")
    assert "memory.max" in caught.value.hint


@pytest.mark.parametrize("kind", ["anon", "shmem", "pipe", "socket", "slab"])
def test_a_limit_on_who_must_not_be_killed_says_no_memory(leaf, watch, kind):
    """With oom_score_adj -1000 there is nobody to kill: the charge itself fails."""
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, -1000, place.cgroup, kind)
    with pytest.raises(NotFilledError) as caught, herd(watch, wanted):
        pass
    print(kind, caught.value.reason)
    assert caught.value.reason.startswith("could not fill its memory: ")
    assert "killed" not in caught.value.reason
    assert "memory.max" in caught.value.hint


def test_a_forker_whose_children_do_not_fit(leaf, watch):
    place = leaf("a")
    place.limit(8 * M)
    wanted = Hog("a", SIZE, 0, place.cgroup, "forker", tasks=2, may_fail=True)
    with herd(watch, wanted) as running:
        assert running.runners[0].failed.endswith("killed SIGKILL by someone else")


# Tasks.


def test_a_forker_goes_on_under_fire(leaf, watch):
    """Fired at only while both its children are full: then no other is the largest."""
    place = leaf("a")
    wanted = Hog("a", 16 * M, 0, place.cgroup, "forker", tasks=2)
    seen = set()

    def full() -> int:
        held = {child.pid for child in forker.children() if holds(child, 8 * M)}
        seen.update(held)
        return len(held)

    def shoot(kills: int) -> None:
        loader.run(Call(None, 0, WAIT_ON_OOM_LOCK), place.directory.stat().st_ino, 0)
        assert loader.read(0).ret == 1
        soon(lambda: full() == 2 and len(seen) == 2 + kills)
        assert place.counters("memory.events")["oom_kill"] == kills

    with herd(watch, wanted) as running, Loader() as loader:
        forker = psutil.Process(running.runners[0].pid)
        assert full() == 2
        for kills in (1, 2, 3):
            shoot(kills)
        running.require_alive()


def holds(process: psutil.Process, size: int) -> bool:
    try:
        return process.memory_info().rss >= size
    except psutil.NoSuchProcess:
        return False


def test_a_sharer_lives_elsewhere_and_is_charged_nothing(leaf, watch):
    place, other = leaf("a"), leaf("b")
    wanted = Hog("a", SIZE, 0, place.cgroup, "shared", sharer=other.cgroup)
    with herd(watch, wanted) as running:
        (sharer,) = psutil.Process(running.runners[0].pid).children()
        assert Path(f"/proc/{sharer.pid}/cgroup").read_text() == f"0::{other.cgroup}\n"
        assert sharer.memory_info().rss >= SIZE
        assert SIZE <= place.charged <= SIZE + M
        assert other.charged <= 512 * K
    soon(lambda: not (other.directory / "cgroup.procs").read_text())


def test_a_traced_hog_holds_its_memory_after_its_kill(leaf, watch):
    place = leaf("a")
    wanted = Hog("a", SIZE, 0, place.cgroup, "traced", hold=1.5)
    with herd(watch, wanted) as running:
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


def test_a_working_set_stays(leaf, watch):
    place = leaf("a")
    with herd(watch, Hog("a", SIZE, 0, place.cgroup, working_set=SIZE)) as running:
        time.sleep(0.2)
        running.require_alive()
        assert SIZE <= place.charged <= SIZE + M
