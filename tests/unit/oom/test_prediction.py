import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.prediction import predict
from oomctl.oom.task import Task

PAGE = 4096
RAM = 10**6


def task(pid, pages=0, adj=0, cgroup="/t", **more):
    return Task(pid, f"t{pid}", cgroup, adj, pages * PAGE, 0, 0, 0.0, **more)


def victims(tasks, *groups, totalpages=RAM):
    return predict(tasks, totalpages, PAGE, frozenset(groups)).victims


def test_the_largest_dies_alone():
    found = predict([task(2, 5), task(3, 9), task(4, 7)], RAM, PAGE, frozenset())
    assert [c.task.pid for c in found.candidates] == [3, 4, 2]
    assert [c.badness for c in found.candidates] == [9, 7, 5]
    assert (found.victims, found.group, found.close) == ((3,), None, ())
    assert found.agrees(frozenset({3}))
    assert not found.agrees(frozenset({3, 4}))


def test_of_equals_the_last_in_scan_order():
    assert victims([task(9, 5), task(2, 5), task(5, 5)]) == (5,)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (task(1, 9), "init"),
        (task(2, 9, adj=-1000), "adj -1000"),
        (task(2, 9, has_mm=False), "no mm"),
        (task(2, 9, has_mm=False, not_eligible_reason="kernel thread"), "kernel thread"),
        (task(2, 9, not_eligible_reason="inside vfork"), "inside vfork"),
    ],
)
def test_a_task_that_is_passed_over_is_listed_last_with_the_reason(one, why):
    found = predict([one, task(5, 1)], RAM, PAGE, frozenset())
    assert found.victims == (5,)
    last = found.candidates[-1]
    assert (last.task, last.badness, last.excluded) == (one, None, why)


def test_no_task():
    assert victims([]) == ()
    assert victims([task(2, 5, adj=-1000)], "/t") == ()


FAMILY = [
    task(2, 9, cgroup="/t/a"),
    task(3, 1, adj=-1000, cgroup="/t/a"),
    task(4, 1, adj=-999, cgroup="/t/a/b"),
    task(5, 1, cgroup="/t/ab"),
    task(6, 1, not_eligible_reason="inside vfork", cgroup="/t/a"),
    task(7, has_mm=False, cgroup="/t/a"),
]


@pytest.mark.parametrize(
    ("groups", "dying", "group"),
    [
        ([], (2,), None),
        (["/t/a"], (2, 4, 6), "/t/a"),  # not its namesake /t/ab; vfork saves no task from this
        (["/t/a/b"], (2,), None),  # the victim is above it
        (["/t/ab"], (2,), None),
        (["/t", "/t/a"], (2, 4, 5, 6), "/t"),  # the highest
    ],
)
def test_which_tasks_die_with_the_chosen_one(groups, dying, group):
    found = predict(FAMILY, RAM, PAGE, frozenset(groups))
    assert (found.victims, found.group) == (dying, group)


def test_close_are_the_tasks_that_reach_the_first_at_its_lowest():
    def wavering(pid, pages, slack):
        return task(pid, pages, slack=slack * PAGE)

    tasks = [wavering(2, 90, 4), wavering(3, 100, 3), wavering(4, 95, 2), wavering(5, 90, 8)]
    found = predict(tasks, RAM, PAGE, frozenset())
    # 94 and 97 against 97 at least, and the later one of equals wins
    assert found.victims == (3,)
    assert found.close == (4, 5)
    assert found.explains(frozenset({5}))
    assert not found.explains(frozenset({2}))
    assert not found.explains(frozenset({4, 5}))


def test_close_is_the_first_of_a_kernel_that_does_not_add_up_its_counters():
    tasks = [
        task(2, 98, rss_read=96 * PAGE),
        task(3, 99, rss_read=64 * PAGE),
        task(4, 97, rss_read=90 * PAGE),
    ]
    found = predict(tasks, RAM, PAGE, frozenset())
    assert (found.victims, found.close, found.instead) == ((3,), (2,), ((2,),))
    assert [c.badness for c in found.candidates] == [99, 98, 97]


def test_an_earlier_equal_at_its_highest_is_not_close():
    assert predict([task(2, 97), task(3, 97)], RAM, PAGE, frozenset()).close == ()


@pytest.mark.parametrize(
    ("memcgs", "close"),
    [
        (("/t/p", "/t/p", "/t/p"), (3,)),  # the last of /t/p/a may be the last of all, 2 may not
        (("/t/p/a", "/t/p/a", "/t/p/b"), ()),
        (("", "", ""), ()),
    ],
)
def test_of_equals_in_cgroups_without_the_controller_any_may_be_the_last(memcgs, close):
    cgroups = ("/t/p/a", "/t/p/a", "/t/p/b")
    tasks = [
        task(pid, 5, cgroup=cgroup, memcg=memcg)
        for pid, cgroup, memcg in zip((2, 3, 4), cgroups, memcgs, strict=True)
    ]
    found = predict(tasks, RAM, PAGE, frozenset())
    assert (found.victims, found.close) == ((4,), close)


def test_what_dies_instead_is_a_group_too():
    tasks = [task(2, 100, cgroup="/t/a"), task(3, 99, cgroup="/t/b", slack=2 * PAGE)]
    tasks.append(task(4, 1, cgroup="/t/b"))
    found = predict(tasks, RAM, PAGE, frozenset({"/t/b"}))
    assert (found.victims, found.close, found.instead) == ((2,), (3,), ((3, 4),))
    assert found.explains(frozenset({3, 4}))


def test_members_of_a_group_are_held_once_however_many_are_close():
    """Else 3,000 swapped tasks of one size take 9 million PIDs."""
    equal = [task(pid, 5, cgroup=f"/t/{pid}", slack=PAGE) for pid in range(2, 3002)]
    found = predict(equal, RAM, PAGE, frozenset({"/t"}))
    assert len(found.close) == 2999
    assert found.instead == (found.victims,)
    alone = predict(equal, RAM, PAGE, frozenset())
    assert sum(map(len, alone.instead)) == 2999
    each = predict(equal, RAM, PAGE, frozenset(one.cgroup for one in equal))
    assert sum(map(len, each.instead)) == 2999
    assert each.explains(frozenset({2}))


tasks = st.lists(
    st.builds(task, st.integers(2, 99), st.integers(0, 500), st.integers(-1000, 1000)),
    unique_by=lambda one: one.pid,
)


@given(tasks, st.integers(1, 10**6))
def test_every_task_is_listed_once_and_the_first_dies(some, totalpages):
    found = predict(some, totalpages, PAGE, frozenset())
    assert sorted(c.task.pid for c in found.candidates) == sorted(one.pid for one in some)
    ranked = [c for c in found.candidates if c.badness is not None]
    assert found.victims == tuple(c.task.pid for c in ranked[:1])
    assert [c.badness for c in ranked] == sorted((c.badness for c in ranked), reverse=True)
