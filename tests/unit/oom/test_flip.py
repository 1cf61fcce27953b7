"""Flip points against the model itself, value by value."""

from dataclasses import replace

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from oomctl.oom import flip as flip_module
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import changed, flips
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task

PAGE = 4096
MAX = (2**63 - 1) // PAGE
ADJ, SIZE, LIMIT = FlipKind.ADJ, FlipKind.SIZE, FlipKind.LIMIT


def task(pid, pages=0, adj=0, cgroup="/t", **more):
    return Task(pid, f"t{pid}", cgroup, adj, pages * PAGE, 0, 0, 0.0, **more)


def of(*tasks, totalpages=65_536, groups=(), swap=0):
    return Candidates(list(tasks), totalpages, PAGE, frozenset(groups), swap)


def chosen(candidates):
    first = candidates.predict().candidates[:1]
    return first[0].task.pid if first and first[0].badness is not None else None


def found(candidates, pid):
    """Return (after, chosen then) by kind and direction of the task's own flips."""
    own = [f for f in flips(candidates, pid) if f.pid in (pid, None)]
    return {(f.kind, f.upwards): (f.after, f.chosen) for f in own}


def test_of_the_victim():
    some = of(task(2, 900), task(3, 500), task(4, 100, -5))
    assert found(some, 2) == {
        (ADJ, False): (-7, 3),  # 900 - 6 x 65 = 510
        (SIZE, False): (500 * PAGE, 3),  # of equals the last is chosen
        (LIMIT, False): (None, None),
    }
    assert [(f.kind, f.after) for f in flips(some, 2) if f.pid == 3] == [
        (ADJ, 7),
        (SIZE, 900 * PAGE),
    ]


def test_of_a_task_that_lives():
    some = of(task(2, 900), task(3, 500), task(4, 100, -5))
    assert found(some, 4) == {
        (ADJ, True): (13, 4),
        (SIZE, True): ((900 + 5 * 65) * PAGE, 4),
        (LIMIT, False): (None, None),
    }


def test_memory_max_turns_the_choice_by_steps_of_1000_pages():
    some = of(task(2, 900), task(3, 500, 10), totalpages=50_999)
    assert (chosen(some), found(some, 2)[LIMIT, False]) == (3, (40_000 * PAGE - PAGE, 2))
    (down,) = (f for f in flips(some, 3) if f.kind is LIMIT)
    assert (down.after, down.chosen, down.until) == (39_999 * PAGE, 2, None)
    assert chosen(changed(some, LIMIT, None, 40_000 * PAGE)) == 3
    with_swap = replace(some, swap=30_500)
    assert [f.after for f in flips(with_swap, 3) if f.kind is LIMIT] == [(39_999 - 30_500) * PAGE]
    much_swap = replace(some, swap=50_000)
    assert [f.after for f in flips(much_swap, 3) if f.kind is LIMIT] == [None]


def test_a_task_may_be_chosen_between_two_limits_only():
    """The more a point weighs, the higher is the oom_score_adj of the first."""
    some = of(task(2, 900), task(3, 700, 10), task(4, 100, 40))
    assert chosen(some) == 4
    (down,) = (f for f in flips(some, 3) if f.kind is LIMIT)
    # 700 + 10 w >= 900 from w = 20 on, 700 + 10 w > 100 + 40 w up to w = 19
    assert down.after is None
    some = of(task(2, 900), task(3, 800, 10), task(4, 100, 40))
    (down,) = (f for f in flips(some, 3) if f.kind is LIMIT)
    assert (down.after, down.until) == (23_999 * PAGE, 10_000 * PAGE)
    low = replace(some, totalpages=3000)
    (up,) = (f for f in flips(low, 3) if f.kind is LIMIT)
    assert (up.after, up.until, up.upwards) == (10_000 * PAGE, 23_999 * PAGE, True)
    middle = replace(some, totalpages=15_000)
    both = [f for f in flips(middle, 3) if f.kind is LIMIT]
    assert [(f.after, f.chosen) for f in both] == [(9_999 * PAGE, 2), (24_000 * PAGE, 4)]


def test_without_a_limit_no_size_makes_up_for_a_point():
    some = of(task(2, 900), task(3, 1, 1), totalpages=MAX)
    assert found(some, 2) == {
        (ADJ, True): (1, 2),
        (SIZE, False): (None, None),
        (LIMIT, False): (898_999 * PAGE, 2),
    }
    assert {f.before for f in flips(some, 2) if f.kind is LIMIT} == {None}


def test_a_system_wide_oom_has_no_limit():
    assert {f.kind for f in flips(of(task(2, 9), task(3, 8), swap=None), 2)} == {ADJ, SIZE}


@pytest.mark.parametrize(
    "one",
    [
        task(4, 9, not_eligible_reason="kernel thread"),
        task(4, 0, has_mm=False),
        task(1, 9),
        task(4, 9, shares=2),  # the task that it shares with is scanned later
    ],
)
def test_a_task_that_nothing_makes_the_victim(one):
    own = [f for f in flips(of(one, task(2, 9)), one.pid) if f.pid in (one.pid, None)]
    assert {f.after for f in own} == {None}


def test_adj_1000_makes_a_spared_task_eligible():
    assert found(of(task(2, 9), task(3, 4, -1000)), 3)[ADJ, True] == (0 + 1, 3)
    assert found(of(task(2, 9), task(3, 40, -1000)), 3)[SIZE, False] == (None, None)


def test_adj_has_no_weight_below_1000_pages_but_spares():
    some = of(task(2, 90), task(3, 40), totalpages=999)
    assert found(some, 2)[ADJ, False] == (-1000, 3)
    assert found(some, 3)[ADJ, False] == (None, None)


def test_the_only_candidate():
    flip, size, limit = flips(of(task(2, 9)), 2)
    assert (flip.after, flip.chosen, flip.victims) == (-1000, None, ())
    assert (size.after, limit.after) == (None, None)


def test_the_group_that_dies_then():
    some = of(task(2, 9), task(3, 8, cgroup="/t/g"), task(4, 1, cgroup="/t/g"), groups=["/t/g"])
    assert {f.victims for f in flips(some, 2) if f.after is not None} == {(3, 4)}


def test_no_such_task():
    with pytest.raises(KeyError):
        flips(of(task(2, 9)), 3)


def test_a_flip_that_the_model_does_not_bear_out_is_a_fault(monkeypatch):
    monkeypatch.setattr(flip_module, "bisect_left", lambda values, *_, **__: len(values) - 2)
    with pytest.raises(RuntimeError, match="does not turn"):
        flips(of(task(2, 9), task(3, 8)), 2)


tasks = st.lists(
    st.builds(
        task,
        st.integers(2, 9),
        st.integers(0, 300),
        st.one_of(st.just(0), st.integers(-1000, 1000), st.sampled_from([-1000, -999, 1, 1000])),
        st.sampled_from(["/t", "/t/a", "/t/a/b"]),
        shares=st.sampled_from([0, 0, 0, 2, 3]),
        has_mm=st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    unique_by=lambda one: one.pid,
)
inputs = st.builds(
    lambda tasks, pages, swap, groups: of(
        *tasks, totalpages=max(pages + swap, 1), swap=swap, groups=groups
    ),
    tasks,
    st.one_of(st.integers(0, 20_000), st.just(MAX)),
    st.integers(0, 5_000),
    st.sets(st.sampled_from(["/t", "/t/a", "/t/a/b"])),
)


@hypothesis_given(inputs, st.data())
def test_a_flip_turns_the_choice_and_a_step_before_it_does_not(some, data):
    pid = data.draw(st.sampled_from([one.pid for one in some.tasks]))
    for flip in flips(some, pid):
        asked = pid if flip.pid is None else flip.pid
        was = chosen(some) == asked
        if flip.after is None:
            continue
        after = changed(some, flip.kind, flip.pid, flip.after).predict()
        assert (flip.chosen == asked) is not was
        assert after.victims == flip.victims
        step = 1 if flip.kind is ADJ else PAGE
        before = flip.after + (-step if flip.upwards else step)
        if before != flip.before:
            assert (chosen(changed(some, flip.kind, flip.pid, before)) == asked) is was


@hypothesis_given(inputs, st.data())
def test_no_nearer_value_turns_it_and_all_beyond_do(some, data):
    """Value by value: 2,000 points, each size up to the next, each step of the limit."""
    pid = data.draw(st.sampled_from([one.pid for one in some.tasks]))
    one = next(each for each in some.tasks if each.pid == pid)
    was = chosen(some) == pid
    own = {(f.kind, f.upwards): f for f in flips(some, pid) if f.pid in (pid, None)}

    def turned(kind, value):
        return (chosen(changed(some, kind, pid, value)) == pid) is not was

    adjs = range(-1000, one.oom_score_adj) if was else range(one.oom_score_adj + 1, 1001)
    sample = {*data.draw(st.lists(st.sampled_from(adjs), max_size=5))} if adjs else set()
    flip = own.get((ADJ, not was)) or own[ADJ, False]
    for value in sample:
        beyond = flip.after is not None and (value <= flip.after if was else value >= flip.after)
        assert turned(ADJ, value) is beyond
    flip = own.get((SIZE, not was)) or own[SIZE, False]
    pages = one.rss // PAGE
    for value in data.draw(st.lists(st.integers(0, pages) if was else st.integers(pages, 400))):
        if value == pages:
            continue
        size = value * PAGE
        beyond = flip.after is not None and (size <= flip.after if was else size >= flip.after)
        assert turned(SIZE, size) is beyond
    limits = [f for key, f in own.items() if key[0] is LIMIT]
    for value in data.draw(st.lists(st.integers(0, 400_000))):
        size = value * PAGE
        beyond = False
        for flip in limits:
            if flip.after is not None and flip.upwards:
                beyond |= flip.after <= size <= (flip.until or size)
            elif flip.after is not None:
                beyond |= (flip.until or 0) <= size <= flip.after
        assert turned(LIMIT, size) is beyond
