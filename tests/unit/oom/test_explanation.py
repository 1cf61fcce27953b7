from dataclasses import replace

import pytest

from oomctl.oom.dumped import totalpages
from oomctl.oom.enums import Constraint
from oomctl.oom.explanation import explain
from oomctl.oom.log.oomreport import DumpedTask, Machine, OomEnd, OomReport, PageCounter, Victim
from oomctl.oom.memorykinds import memory_of

M = 1 << 20


def row(pid, rss, adj=0, comm="task", **more):
    return DumpedTask(pid, pid, 1000, 2 * rss, rss, 0, 0, adj, comm, **more)


def report(*tasks, victim=11, swap=0, **more):
    fields = {
        "end": OomEnd.KILLED,
        "order": 0,
        "constraint": Constraint.MEMCG,
        "memcg": "/a",
        "victim": Victim(victim, "task"),
        "counters": {"memory": PageCounter(64 * M, 64 * M, 3), "swap": PageCounter(0, swap, 0)},
        "tasks": tasks,
        "kernel": "6.12.1",
    }
    return OomReport(**fields | more)


def test_the_first_by_badness_follows():
    found = explain(1, report(row(11, 900), row(12, 800)))
    assert found.follows is True
    assert found.reason is not None
    assert found.reason.margin == 100


def test_another_victim_does_not_follow():
    found = explain(1, report(row(11, 700), row(12, 800)))
    assert (found.follows, found.doubt) == (False, "by the dump task (pid 12) is the first")


def test_a_task_that_was_killed_before_is_passed_over():
    assert explain(1, report(row(11, 700), row(12, 800)), frozenset({12})).follows is True


def test_a_child_of_the_chosen_task_follows_if_the_chosen_one_is_the_first():
    tasks = row(11, 700), row(12, 800)
    child = replace(report(*tasks), victim=Victim(11, "task", chosen_pid=12, score=9))
    assert explain(1, child).follows is True
    assert explain(1, replace(child, victim=Victim(12, "task", chosen_pid=11))).follows is False


@pytest.mark.parametrize(
    ("swap", "rss", "follows"),
    [
        (0, 1000, True),  # 16 a point: 300 + 1600 is more than 1000
        (0, 2000, False),
        (None, 2000, None),  # with enough swap a point weighs more
        (64 * M, 2000, None),
        (M, 4000, False),
    ],
)
def test_swap_that_is_not_known_may_turn_the_choice(swap, rss, follows):
    found = explain(1, report(row(11, 300, adj=100), row(12, rss), swap=swap))
    assert found.follows is follows
    if follows is None:
        assert "weighs" in found.doubt


def test_swap_does_not_matter_if_no_adj_differs():
    assert explain(1, report(row(11, 900), row(12, 800), swap=None)).follows is True


def test_without_totalpages_tasks_of_one_adj_are_ranked():
    known = report(row(11, 900), row(12, 800), row(13, 9000, adj=-1000), counters={})
    assert explain(1, known).follows is True
    unknown = explain(1, report(row(11, 900), row(12, 800, adj=1), counters={}))
    assert (unknown.follows, unknown.prediction) == (None, None)
    assert "totalpages is unknown" in unknown.doubt


def test_of_equals_the_last_in_the_dump_is_chosen():
    assert explain(1, report(row(12, 800), row(11, 800))).follows is True
    assert explain(1, report(row(11, 800), row(12, 800))).follows is False
    old = explain(1, report(row(11, 800), row(12, 800), kernel="5.4.0"))
    assert old.follows is True


def test_root_may_have_a_bonus_before_4_17():
    tasks = row(11, 980), DumpedTask(12, 12, 0, 9, 1000, 0, 0, 0, "root")
    assert explain(1, report(*tasks)).follows is False
    old = replace(report(*tasks, kernel="3.10.0"), victim=Victim(11, "task", score=50))
    assert explain(1, old).follows is True


def test_totalpages_of_a_machine_and_of_its_nodes():
    machine = Machine(1000, 100, swap_total=4096 * 50, present={0: 4096 * 400, 1: 4096 * 600})
    whole = OomReport(constraint=Constraint.NONE, machine=machine)
    assert (totalpages(whole).least, totalpages(whole).is_exact) == (950, True)
    cpuset = OomReport(constraint=Constraint.CPUSET, machine=machine, mems_allowed="1")
    assert totalpages(cpuset).least == 650
    unknown = OomReport(constraint=Constraint.CPUSET, machine=machine, mems_allowed="0-3")
    assert totalpages(unknown).least is None


def test_totalpages_of_v1_has_the_swap_of_memsw():
    counters = {"memory": PageCounter(M, 4 * M, 0), "memory+swap": PageCounter(M, 6 * M, 0)}
    total = totalpages(OomReport(constraint=Constraint.MEMCG, counters=counters))
    assert (total.least, total.most) == (1024, 1536)


def test_memory_of_no_task_is_without_what_tasks_map():
    stat = {"anon": 10 * M, "file": 30 * M, "shmem": 20 * M, "kernel": 4 * M, "pagetables": M}
    counters = {"memory": PageCounter(44 * M, 64 * M, 0)}
    mapped = row(11, 3000, rss_shmem=5 * M // 4096)
    memory = memory_of(OomReport(counters=counters, stat=stat, tasks=(mapped,)))
    assert memory is not None
    assert memory.of_no_task == (44 - 10 - 1 - 5) * M
    assert dict(memory.kinds) == {
        "shmem": 20 * M,
        "anon": 10 * M,
        "page cache": 10 * M,
        "other kernel memory": 3 * M,
        "page tables": M,
    }
    unmapped = memory_of(OomReport(counters=counters, stat=stat, tasks=(row(11, 9),)))
    assert unmapped is not None
    assert not unmapped.mapped


def test_nothing_is_said_of_what_is_not_there():
    found = explain(1, OomReport(end=OomEnd.KILLED, victim=Victim(11, "x")))
    assert (found.follows, found.reason, found.memory) == (None, None, None)
    assert len(found.missing) == 1
