"""What a hog holds: from texts of the kernel's and from processes here, and what is said of it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from oomctl.hog.readback import read_holdings
from oomctl.oom.holdings import Holdings, compared, of_cgroup, of_tasks
from oomctl.oom.plan import Hog, HogKind

M = 1 << 20
STAT = {"anon": M, "file": 16 * M, "kernel": 3 * M, "sock": 0, "shmem": 4 * M, "slab": 2 * M}


def held(**sizes: int) -> Holdings:
    return Holdings("cgroup", **{"file": 0, "kernel": 0, **sizes})


def differs(holds: Holdings, kind: HogKind, size: int = 16 * M, **more) -> str:
    return compared(holds, Hog("h", size, kind=kind, **more)).differs


def test_page_cache_is_file_without_shmem():
    own = Holdings("process", swap=5, hugetlb=6, locked=7, anon=8)
    holds = of_cgroup(STAT, own, 9)
    assert (holds.anon, holds.file, holds.shmem) == (M, 12 * M, 4 * M)
    assert (holds.kernel, holds.slab, holds.sock, holds.anon_thp) == (3 * M, 2 * M, 0, None)
    assert (holds.swap, holds.hugetlb, holds.locked, holds.slack) == (5, 6, 7, 9)


def test_the_memory_of_several_tasks_is_added_up():
    holds = of_tasks([{"RssAnon": M, "VmSwap": 2}, {"RssAnon": M, "RssShmem": 3}], None)
    assert (holds.anon, holds.swap, holds.shmem) == (2 * M, 2, 3)
    assert (holds.file, holds.kernel) == (None, None)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *(("anon", "anon"), ("file", "file"), ("shmem", "shmem"), ("hugetlb", "hugetlb")),
        *(("mlock", "locked"), ("pipe", "kernel"), ("socket", "kernel"), ("slab", "kernel")),
        *(("threads", "anon"), ("forker", "anon"), ("shared", "anon"), ("traced", "anon")),
    ],
)
def test_each_kind_is_compared_with_its_own_counter(kind, field):
    assert differs(held(**{field: 16 * M}), kind) == ""
    assert differs(held(**{field: 15 * M}), kind) == ""
    assert differs(held(), kind).startswith("holds 0 of ")
    unknown = replace(held(), **{field: None})
    assert differs(unknown, kind) == ""


@pytest.mark.parametrize(
    ("holds", "kind", "said"),
    [
        (held(shmem=16 * M), "file", "0 of page cache, 16M of shmem, not 16M of page cache"),
        (held(file=6 * M), "file", "6M of page cache, not 16M of page cache"),
        (
            held(anon=4 * M, swap=12 * M, kernel=M),
            "anon",
            "4M of anonymous memory, 12M of swap, not 16M of anonymous memory",
        ),
    ],
)
def test_other_memory_than_expected_is_named(holds, kind, said):
    assert differs(holds, kind) == f"holds {said}"


def test_the_counters_have_a_tolerance():
    assert differs(held(file=8 * M, slack=8 * M), "file") == ""


def test_missing_huge_pages_are_reported():
    holds = held(anon=17 * M, anon_thp=4 * M)
    assert differs(holds, "anon", 17 * M, thp=True) == "holds 4M in huge pages, not 16M"
    assert differs(holds, "anon", 17 * M) == ""
    assert differs(replace(holds, anon_thp=16 * M), "anon", 17 * M, thp=True) == ""
    assert differs(replace(holds, anon_thp=None), "anon", 17 * M, thp=True) == ""


def test_the_fields_in_json():
    plain = replace(held(file=6 * M, slack=3), differs="x").tree()
    assert plain["source"] == "cgroup"
    assert plain["file_bytes"] == 6 * M
    assert plain["anon_thp_bytes"] is None
    assert plain["differs"] == "x"
    assert "slack_bytes" not in plain


@pytest.fixture
def child():
    code = "import mmap; m = mmap.mmap(-1, 8 << 20, 34); m.write(b'x' * len(m)); print(flush=1)"
    code += "; input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_hog_that_is_alone_is_read_from_its_cgroup(cgroupfs, child):
    node = cgroupfs.create_cgroup("t")
    lines = "".join(f"{name} {value}\n" for name, value in STAT.items())
    (node.directory / "memory.stat").write_text(lines)
    holds = read_holdings(Hog("h", 12 * M, kind="file"), child, node, {child})
    assert (holds.source, holds.file, holds.slack >= 4096) == ("cgroup", 12 * M, True)


@pytest.mark.parametrize("reason", ["a stranger", "no controller"])
def test_a_hog_that_is_not_alone_is_read_in_proc(cgroupfs, child, reason):
    node = cgroupfs.create_cgroup("t")
    members = {child}
    if reason == "a stranger":
        members |= {os.getpid()}
        (node.directory / "memory.stat").write_text("anon 1\nfile 1\nshmem 1\n")
    holds = read_holdings(Hog("h", 8 * M, thp=True), child, node, members)
    assert holds.source == "process"
    assert 8 * M <= holds.anon < 64 * M
    assert holds.anon_thp is not None


def test_a_hog_that_has_ended_has_no_holdings(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    assert read_holdings(Hog("h", M), 2**22 + 1, node, set()) is None
