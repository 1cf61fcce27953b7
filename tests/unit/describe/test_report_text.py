import pytest

from oomctl.describe.report_text import cause_text, report_rows, title
from oomctl.oom.enums import Constraint
from oomctl.oom.explanation import explain
from oomctl.oom.log.oomreport import Machine, OomEnd, OomReport, PageCounter, Victim

M = 1 << 20


def limited(order=0, **counters):
    made = {name.replace("_", "+"): PageCounter(*each) for name, each in counters.items()}
    return OomReport(constraint=Constraint.MEMCG, memcg="/a", order=order, counters=made)


def whole(**machine):
    return OomReport(constraint=Constraint.NONE, order=0, machine=Machine(**machine))


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (limited(memory=(M, M, 1), swap=(0, 0, 0)), "memory.max of /a: 1M"),
        (limited(memory=(M - 4096, M, 0)), "usage was 1020K of 1M"),
        (limited(1, memory=(M - 4096, M, 0)), "memory.max of /a: 1M"),
        (limited(memory=(63 * M, 64 * M, 9)), "memory.max of /a: 64M"),
        (limited(memory=(8 * M, 64 * M, 9)), "declared by a program, or memory was freed"),
        (limited(memory=(8 * M, None, 0)), "usage was 8M of max"),
        (
            limited(memory=(M, 9 * M, 0), memory_swap=(2 * M, 2 * M, 3)),
            "memory.memsw.limit_in_bytes of /a: 2M",
        ),
        (limited(memory=(M, None, 0), kmem=(M, M, 3)), "memory.kmem.limit_in_bytes of /a: 1M"),
        (limited(), "/a: it was out of memory"),
        (OomReport(constraint=Constraint.NONE), "the whole machine"),
        (OomReport(order=-1, constraint=Constraint.NONE), "sysrq f"),
        (
            OomReport(constraint=Constraint.CPUSET, cpuset="c", mems_allowed="1"),
            "cpuset c: its memory nodes (1)",
        ),
        (OomReport(constraint=Constraint.MEMORY_POLICY, nodemask="2"), "nodes (2)"),
        (OomReport(panic="Out of memory"), "Out of memory: the kernel panicked"),
        (
            OomReport(constraint=Constraint.NONE, order=3, machine=Machine(swap_total=0)),
            "the whole machine: no free block of 8 pages was left, or",
        ),
        (whole(swap_total=None, swap_free=None), "RAM and swap were used up, or a program"),
        (whole(swap_total=0, swap_free=0), "RAM was used up, and there is no swap, or"),
        (whole(swap_total=100 * M, swap_free=9 * M), "RAM and swap were used up, or"),
        (whole(swap_total=100 * M, swap_free=50 * M), "though 50M of swap was free, or"),
        (OomReport(machine=Machine(), kernel="4.19.0-27"), "kernels before 5.0 do not say which"),
        (OomReport(victim=Victim(1, "a", score=9)), "kernels before 5.0 do not say which"),
        (OomReport(machine=Machine(), kernel="6.8.1"), 'record "oom-kill:" would say which'),
        (OomReport(machine=Machine()), 'record "oom-kill:" would say which'),
        (OomReport(), "unknown"),
    ],
)
def test_the_cause_is_the_limit_that_was_hit(report, says):
    assert says in cause_text(report)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (OomEnd.KILLED, "OOM 3: a (pid 1) and 1 more were killed"),
        (OomEnd.EXITING, "OOM 3: a (pid 1) was chosen, but was exiting already"),
        (OomEnd.NO_TASK, "OOM 3: no task could be killed"),
        (OomEnd.PANIC, "OOM 3: the kernel panicked"),
        (OomEnd.UNKNOWN, "OOM 3: a (pid 1) was chosen; the log does not tell what became of it"),
    ],
)
def test_a_title_says_what_happened(end, says):
    report = OomReport(end=end, victim=Victim(1, "a"), members=(Victim(2, "b"),))
    assert title(explain(3, report)) == says


def test_a_report_that_is_cut_before_the_choice_does_not_say_that_no_task_was_chosen():
    assert title(explain(1, OomReport())) == "OOM 1: the log does not tell which task was chosen"


def test_a_kill_without_a_report_has_no_more_lines_than_it_needs():
    found = explain(1, OomReport(end=OomEnd.KILLED, victim=Victim(1, "a"), time_us=5))
    assert [label for label, _ in report_rows(found)] == ["time", "killed", "cause", "missing"]


def test_the_kinds_of_memory_add_up():
    """What is not among the six largest is `rest`, with what is of no kind."""
    stat = {"anon": 40, "file": 30, "shmem": 10, "pagetables": 8, "kernel_stack": 7, "sock": 6}
    stat |= {"slab": 5, "percpu": 4, "vmalloc": 3, "kernel": 27}
    report = OomReport(
        end=OomEnd.KILLED,
        constraint=Constraint.MEMCG,
        order=0,
        counters={"memory": PageCounter(110 << 20, 110 << 20, 1)},
        stat={name: size << 20 for name, size in stat.items()},
    )
    rows = dict(report_rows(explain(1, report)))
    assert rows["memory"] == (
        "anon 40M, page cache 20M, shmem 10M, page tables 8M, kernel stacks 7M, sockets 6M, "
        "rest 19M"
    )
    assert rows["no task"].startswith("55M of 110M (50%) would be left if every task died, less")
