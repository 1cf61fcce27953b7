"""Hogs below limits that are too small for them: how they end, and what is said of it."""

import json
import os
import re
from itertools import product
from typing import get_args

import pytest

from oomctl.hog.hogset import NotFilledError
from oomctl.oom.hogexit import HogExit
from oomctl.oom.plan import Hog, HogKind
from tests.kernel.leaves import SIZE, TOP, M, observed
from tests.unit.hog.binary import soon

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
    (only,) = json.loads(done.stdout)["runs"][0]["rounds"]
    tasks = [each for each in only["outcome"]["tasks"] if each["name"] == "h"]
    (task,) = (each for each in tasks if each["size_bytes"] is not None)  # not its children
    assert task["fate"] == "not-filled"
    assert task["holds"] is None
    assert re.fullmatch(reason.replace("TOP", "/oomctl-[0-9a-f-]+"), task["failed"])
