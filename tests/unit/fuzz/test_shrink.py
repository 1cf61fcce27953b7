"""Shrinking: what does not matter goes, what matters stays, and tries are bounded."""

import random
from dataclasses import replace

import pytest

from oomctl.fuzz.case import Case
from oomctl.fuzz.generator import random_case
from oomctl.fuzz.shrink import Shrinker, fewer_actions
from oomctl.fuzz.weights import SAYABLE, SWITCHES
from oomctl.oom.enums import Do, Occasion
from oomctl.oom.plan import Action, After, Call, Hog, Step
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.names import TOP

WEIGHTS = replace(SAYABLE, swap=0.2, empty=0, acting=0.6, switches=SWITCHES)
CASES = [random_case(random.Random(number), WEIGHTS) for number in range(90)]


def shrunk(case, differs, budget=2000):
    return Shrinker(case, differs, budget).run()


@pytest.mark.parametrize("case", CASES[:20])
def test_if_nothing_matters_nothing_is_left(case):
    small = shrunk(case, lambda case: True)
    assert small.hogs == ()
    assert [*small.files] == [TOP]
    assert set(small.files[TOP]) <= {"memory.swap.max", "memory.zswap.max"}
    (step,) = small.steps
    assert (step.call.order, step.call.flags, step.call.via) == (0, 1, "bpf")


@pytest.mark.parametrize("case", CASES[:20])
def test_if_all_matters_all_is_left(case):
    assert shrunk(case, lambda _case: False) == case


@pytest.mark.parametrize(
    "matters",
    [
        lambda case: any(hog.kind == "shared" for hog in case.hogs),
        lambda case: any(0 < hog.oom_score_adj < 900 for hog in case.hogs),
        lambda case: any("memory.oom.group" in each for each in case.files.values()),
        lambda case: len({hog.size for hog in case.hogs}) < len(case.hogs),
        lambda case: max(path.count("/") for path in case.files) >= 2,
        lambda case: len(case.steps) > 1,
        lambda case: any(action.do == Do.CONTINUE for action in case.actions),
        lambda case: case.late,
        lambda case: any(hog.leader_exits for hog in case.hogs),
        lambda case: any(action.do == Do.SYSFS for action in case.actions),
        lambda case: any(not 0 <= step.call.order <= 10 for step in case.steps),
    ],
)
def test_what_matters_stays_and_little_else(matters):
    found = [case for case in CASES if matters(case)]
    assert found
    for case in found[:5]:
        small = shrunk(case, matters)
        assert matters(small)
        assert small.is_sound
        assert len(small.hogs) <= 2
        assert len(small.files) <= 4


def test_each_try_is_sound_new_and_within_the_budget():
    tried = []

    def differs(case):
        assert case.is_sound
        assert case not in tried
        tried.append(case)
        return len(tried) % 3 == 0

    shrinker = Shrinker(max(CASES, key=lambda case: len(case.hogs)), differs, 25)
    shrinker.run()
    assert len(tried) == shrinker.tries <= 25


def test_the_best_so_far_is_kept_when_a_try_raises():
    case = max(CASES, key=lambda case: len(case.hogs))
    tries = []

    def differs(case):
        tries.append(case)
        if len(tries) == 3:
            raise KeyboardInterrupt
        return True

    shrinker = Shrinker(case, differs, 25)
    with pytest.raises(KeyboardInterrupt):
        shrinker.run()
    assert shrinker.best == tries[1]


LATE = After(Occasion.RETURNED)
FREEZING = Action(0, After(), Do.WRITE, "a", file=FREEZE, value="1")
THAWING = Action(1, After(), Do.WRITE, "a", file=FREEZE, value="0")
START = Action(2, LATE, Do.START, hog="late")
HOGS = (Hog("late", cgroup="a", size=1 << 20, entry="late"), Hog("b", 1 << 20, cgroup="b"))


def with_actions(*actions):
    files = {TOP: {"memory.swap.max": "0"}, "a": {}, "b": {}}
    return Case(HOGS, files, (Step(Call("b", 0, 1)), Step(Call(TOP, 0, 1))), actions=actions)


def test_a_hog_is_not_started_in_a_frozen_cgroup():
    case = with_actions(FREEZING, THAWING, START)
    assert case.is_sound
    sound = [small.actions for small in fewer_actions(case) if small.is_sound]
    assert sound == [(), (FREEZING, THAWING), (THAWING, START)]
    marked = replace(THAWING, after=After(Occasion.MARKED, ("b",)))
    assert not with_actions(FREEZING, marked, START).is_sound


def test_what_is_done_to_a_hog_is_done_after_its_start():
    for do in (Do.STOP, Do.CONTINUE, Do.KILL):
        early = Action(3, After(), do, hog="late")
        assert not with_actions(START, early).is_sound
        assert with_actions(early).is_sound
        assert with_actions(replace(START, after=After()), early).is_sound
        assert with_actions(START, replace(early, after=LATE)).is_sound


def test_a_hog_that_a_step_waits_for_stays():
    marked = Action(0, After(Occasion.MARKED, ("b",)), Do.WRITE, "a", file=FREEZE, value="0")
    case = with_actions(marked)
    assert case.is_sound
    assert not replace(case, hogs=HOGS[:1]).is_sound
