"""The state before a kill: which sample it is, its victim, and where it begins."""

from dataclasses import replace

import pytest

from oomctl.oom.kill import OomKill
from oomctl.oom.laststate import State, last_state
from oomctl.oom.subtree import CgroupState, MemberTask, Subtree
from oomctl.oom.task import Task

M = 1 << 20
CGROUPS = ("/", "/a", "/a/b", "/c")


def member(pid, cgroup, size=4 * M):
    return MemberTask(Task(pid, f"t{pid}", cgroup, 0, size + M, 0, 0, 0.0), anon=size, file=M)


SUBTREE = Subtree(
    "top",
    tuple(CgroupState(path, max=64 * M) for path in CGROUPS),
    (member(7, "/a/b"), member(8, "/c")),
)
KILL = OomKill(5_000_000_000, 7, "t7", "victim", 9 * M, cgroup="/top/a/b", memcg="/top/a")


def states(*times, top="/top"):
    return [State(at, top, replace(SUBTREE, gaps=(str(at),))) for at in times]


def test_it_is_the_last_one_before_the_kill():
    found = last_state(states(1_000_000_000, 4_990_000_000, 5_000_000_000), KILL)
    assert found.gaps == ("sampled 10 ms before the kill", "4990000000")
    assert last_state(states(5_000_000_000), KILL) is None
    assert last_state([], KILL) is None


@pytest.mark.parametrize("kill", [replace(KILL, cgroup="/to/a"), replace(KILL, cgroup=None)])
def test_a_kill_elsewhere_has_no_state(kill):
    assert last_state(states(1), kill) is None


def test_it_begins_at_the_cgroup_that_was_out_of_memory():
    found = last_state(states(1), KILL)
    assert [each.path for each in found.cgroups] == ["/", "/b"]
    assert [(each.task.pid, each.task.cgroup) for each in found.tasks] == [(7, "/b")]
    assert found.name == "a"
    whole = last_state(states(1), replace(KILL, memcg="/top"))
    assert [each.path for each in whole.cgroups] == list(CGROUPS)
    assert len(whole.tasks) == 2


@pytest.mark.parametrize(
    ("memcg", "gap"),
    [("/", "/, above it, was out of memory"), (None, "no cgroup was out of memory, as far as")],
)
def test_an_oom_from_above_is_noted(memcg, gap):
    found = last_state(states(1), replace(KILL, memcg=memcg))
    assert len(found.cgroups) == 4
    assert gap in found.gaps[-1]


def test_the_root_as_top():
    kill = replace(KILL, cgroup="/a/b", memcg="/a")
    found = last_state(states(1, top="/"), kill)
    assert [each.path for each in found.cgroups] == ["/", "/b"]


def test_the_victim_is_as_the_kernel_counted_it():
    kill = replace(KILL, oom_score_adj=-5, memcg="/top")
    victim = last_state(states(1), kill).tasks[0]
    assert (victim.task.rss, victim.anon, victim.file) == (9 * M, 8 * M, M)
    assert victim.task.oom_score_adj == -5
    small = last_state(states(1), replace(kill, rss=1)).tasks[0]
    assert (small.task.rss, small.anon, small.file) == (M, 0, M)


def test_a_victim_that_began_after_the_sample_is_added():
    found = last_state(states(1), replace(KILL, pid=9, comm="new"))
    new = found.tasks[-1]
    assert (new.task.pid, new.task.cgroup, new.anon) == (9, "/b", 9 * M)
    assert "new began after the sample; all its memory is anon" in found.gaps
