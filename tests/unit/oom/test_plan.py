import pytest

from oomctl.oom import plan
from oomctl.oom.plan import Call, Hog, Plan, Range, Step


@pytest.mark.parametrize(
    ("wait", "raw", "is_global", "flags"),
    [
        (None, None, False, 1),  # the kfunc's text: wait for a memcg
        (None, None, True, 0),  # do not wait for the whole system
        (True, None, True, 1),
        (False, None, False, 0),
        (None, 0, False, 0),
        (None, 6, True, 6),
        (None, plan.UINT64_MAX, False, plan.UINT64_MAX),
    ],
)
def test_flags(wait, raw, is_global, flags):
    assert plan.flags_of(wait, raw, is_global) == flags


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (0, "0"),
        (1, "WAIT_ON_OOM_LOCK"),
        (2, "0x2"),
        (3, "WAIT_ON_OOM_LOCK|0x2"),
        (plan.UINT64_MAX, "WAIT_ON_OOM_LOCK|0xfffffffffffffffe"),
    ],
)
def test_flags_by_name(flags, text):
    assert plan.flag_names(flags) == text


@pytest.mark.parametrize(
    ("wanted", "inside", "outside", "text"),
    [
        (Range(1, 1), [1], [0, 2], "1"),
        (Range(1, 2), [1, 2], [0, 3], "1 to 2"),
        (Range(2, None), [2, 10**9], [0, 1], "at least 2"),
        (Range(0, 0), [0], [1], "0"),
    ],
)
def test_ranges(wanted, inside, outside, text):
    assert all(number in wanted for number in inside)
    assert not any(number in wanted for number in outside)
    assert str(wanted) == text


def test_a_hog_is_labelled_by_its_comm():
    assert Hog("a", 1).label == "a"
    assert Hog("a", 1, comm="b").label == "b"


def test_a_plan_is_system_wide_if_one_call_is():
    ours, all_of_it = Step(Call("/t")), Step(Call(None))
    assert not Plan((), (), (), (ours,)).system_wide
    assert Plan((), (), (), (ours, all_of_it)).system_wide
