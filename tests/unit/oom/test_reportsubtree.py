from dataclasses import replace

from oomctl.oom.enums import Constraint
from oomctl.oom.log.oomreport import DumpedTask, Machine, OomReport, PageCounter, Victim
from oomctl.oom.reportsubtree import subtree_of
from oomctl.oom.subtree import CgroupState

M = 1 << 20
VICTIM = Victim(7, "large", cgroup="/a/b/in", anon=40 * M, file=4096, shmem=0, oom_score_adj=0)


def row(pid, pages, adj=0, comm="some", **parts):
    return DumpedTask(pid, pid, 0, pages * 2, pages, 8192, 0, adj, comm, **parts)


REPORT = OomReport(
    constraint=Constraint.MEMCG,
    memcg="/a/b",
    victim=VICTIM,
    counters={"memory": PageCounter(64 * M, 64 * M, 3), "swap": PageCounter(0, 0, 0)},
    tasks=(row(6, 100, 5), row(7, 10241, comm="large")),
)


def test_the_cgroup_at_its_limit_is_the_top_and_all_are_put_where_the_victim_was():
    of = subtree_of(REPORT)
    assert (of.name, of.swap, of.totalpages) == ("b", 0, 64 * M // 4096)
    assert of.cgroups == (CgroupState("/", max=64 * M), CgroupState("/in"))
    assert [(m.task.pid, m.task.cgroup, m.task.rss) for m in of.tasks] == [
        (6, "/in", 100 * 4096),
        (7, "/in", 10241 * 4096),
    ]
    assert of.tasks[1].file == 4096
    assert of.gaps == (
        "the report names the cgroup of the victim only; all others are put into it",
        "this kernel does not print what is file and shmem of a task's rss: it is held as "
        "anonymous memory",
    )


def test_the_parts_of_rss_are_those_of_the_dump():
    rows = [row(7, 10241, rss_anon=1, rss_file=2, rss_shmem=10238)]
    (member,) = subtree_of(replace(REPORT, tasks=tuple(rows))).tasks
    assert (member.anon, member.file, member.shmem) == (4096, 2 * 4096, 10238 * 4096)


def test_a_group_holds_its_members_only():
    report = replace(REPORT, group="/a/b/in", members=(Victim(6, "some", cgroup="/a/b/in/deep"),))
    report = replace(report, tasks=(*report.tasks, row(8, 1)))
    of = subtree_of(report)
    assert of.cgroups[1:] == (CgroupState("/in", oom_group=True), CgroupState("/in/deep"))
    assert {m.task.pid: m.task.cgroup for m in of.tasks} == {6: "/in/deep", 7: "/in", 8: "/"}
    assert set(of.predict().victims) == {6, 7}


def test_without_a_dump_the_victim_is_all_that_is_known():
    of = subtree_of(replace(REPORT, tasks=()))
    assert [member.task.pid for member in of.tasks] == [7]
    assert of.gaps == (
        "large (7) is not in the dump of tasks",
        "the report has no dump of tasks: only those that died are known",
    )


def test_a_system_wide_oom_is_one_cgroup_of_ram_and_swap():
    of = subtree_of(
        replace(
            REPORT,
            constraint=Constraint.NONE,
            memcg=None,
            counters={},
            machine=Machine(ram_pages=1000, reserved_pages=100, swap_total=M),
        )
    )
    assert (of.name, of.totalpages) == ("the machine", 900 + 256)
    assert [each.path for each in of.cgroups] == ["/", "/a", "/a/b", "/a/b/in"]
    assert "whole machine" in of.gaps[-1]


def test_swap_that_was_used_is_added_to_the_limit():
    swapping = replace(REPORT.tasks[0], swapents=256)
    v2 = {"memory": PageCounter(0, 64 * M, 0), "swap": PageCounter(0, None, 0)}
    of = subtree_of(replace(REPORT, counters=v2, tasks=(swapping,)))
    assert of.totalpages == 65 * M // 4096
    assert any(gap.startswith("as much as was used is assumed of the swap") for gap in of.gaps)


def test_a_declared_oom_without_a_limit_has_none_and_a_missing_one_is_assumed():
    unlimited = {"memory": PageCounter(50 * M, None, 0)}
    assert subtree_of(replace(REPORT, counters=unlimited)).top.max is None
    of = subtree_of(replace(REPORT, counters={}))
    assert of.top.max > sum(member.task.footprint for member in of.tasks)
    assert any("memory.max is assumed" in gap for gap in of.gaps)


def test_a_victim_of_another_hierarchy_is_put_into_the_top():
    of = subtree_of(replace(REPORT, victim=replace(VICTIM, cgroup="/elsewhere")))
    assert [each.path for each in of.cgroups] == ["/"]


def test_a_task_that_a_text_has_twice_is_there_once():
    of = subtree_of(replace(REPORT, tasks=(*REPORT.tasks, *REPORT.tasks)))
    assert [member.task.pid for member in of.tasks] == [6, 7]
