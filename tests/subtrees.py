"""Subtrees for tests: of hand, and random ones."""

from dataclasses import replace

from hypothesis import strategies as st

from oomctl.oom.subtree import CgroupState, MemberTask, Subtree
from oomctl.oom.task import Task

K, M, G = 1 << 10, 1 << 20, 1 << 30


def member(pid, anon=0, adj=0, cgroup="/", comm=None, **more):
    """A task of these parts."""
    file, shmem, swap, pgtables, shares = (
        more.pop(key, 0) for key in ("file", "shmem", "swap", "pgtables", "shares")
    )
    rss = anon + file + shmem
    task = Task(pid, comm or f"task{pid}", cgroup, adj, rss, swap, pgtables, 0.0, shares=shares)
    return MemberTask(task, anon, file, shmem, **more)


def subtree(*tasks, cgroups=(), swap=0, **top):
    """A subtree with these tasks; `top` has the limits of its top."""
    return Subtree("it", (CgroupState("/", **top), *cgroups), tasks, swap)


_SIZES = st.one_of(st.none(), st.integers(0, 64 * G).map(lambda size: size & ~4095))
_NAMES = st.text(
    st.characters(blacklist_characters="/\n\0", blacklist_categories=[]), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))


@st.composite
def subtrees(draw):
    """Any subtree that a machine may have."""
    paths = ["/"]
    for name in draw(st.lists(_NAMES, max_size=6, unique=True)):
        paths.append(f"{draw(st.sampled_from(paths)).rstrip('/')}/{name}")
    cgroups = tuple(
        CgroupState(
            path,
            *(draw(_SIZES) for _ in ("max", "high", "low", "min", "swap")),
            oom_group=draw(st.booleans()),
            usage=draw(_SIZES),
        )
        for path in paths
    )
    parts = st.sampled_from([64 * K, 16 * M, 4 * G]).flatmap(
        lambda most: st.integers(0, most).map(lambda size: size & ~4095)
    )
    tasks = []
    for pid in range(2, 2 + draw(st.integers(0, 8))):
        place, comm = draw(st.sampled_from(paths)), draw(st.text(max_size=15))
        if tasks and draw(st.integers(0, 3)) == 0:  # one memory, and so one adj
            task = replace(tasks[0].task, pid=pid, cgroup=place, comm=comm, shares=2)
            tasks.append(replace(tasks[0], task=task))
            continue
        adj = draw(st.one_of(st.just(0), st.integers(-1000, 1000)))
        sizes = {name: draw(parts) for name in ("file", "shmem", "swap")}
        threads, pgtables = draw(st.integers(1, 20)), draw(st.integers(0, 100)) * 4 * K
        more = {**sizes, "threads": threads, "pgtables": pgtables}
        tasks.append(member(pid, draw(parts), adj, place, comm, **more))
    return Subtree(draw(_NAMES), cgroups, tuple(tasks), draw(st.sampled_from([0, G])))
