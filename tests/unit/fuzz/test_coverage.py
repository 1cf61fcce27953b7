"""Coverage: what a case promises is what it exercises, and the rare is chosen."""

import random
from dataclasses import replace

import pytest

from oomctl.fuzz.case import Case
from oomctl.fuzz.coverage import (
    RETURN,
    RULE,
    STEP,
    VERDICT,
    VICTIM,
    Coverage,
    exercised,
    promised,
)
from oomctl.fuzz.generator import random_case
from oomctl.fuzz.hunt import Hunt
from oomctl.fuzz.weights import FUZZED, SAYABLE, SWITCHES
from oomctl.oom.enums import Do, Occasion, Rule
from oomctl.oom.plan import Action, After, Call, Hog, Step
from oomctl.scenario.names import TOP
from tests.unit.fuzz.fake_kernel import FakeKernel, plain

M = 1 << 20
WEIGHTS = replace(SAYABLE, switches=SWITCHES)
CASES = [plain(random_case(random.Random(number), WEIGHTS)) for number in range(80)]
NOT_SEEN_BEFORE = {Rule.SWAP, Rule.CLOSE}
"""They depend on what only a kernel has."""


@pytest.mark.parametrize("case", CASES)
def test_a_case_keeps_what_it_promises(case):
    found = exercised(FakeKernel().judged(case))
    assert promised(case) <= {each for each in found if each[0] != RETURN}


def test_cases_exercise_every_rule_and_kind():
    found = {each for case in CASES for each in exercised(FakeKernel().judged(case))}
    assert {(RULE, rule) for rule in {*Rule} - NOT_SEEN_BEFORE} <= found
    assert {(VICTIM, kind) for kind in FUZZED} <= found
    assert {(RETURN, value) for value in ("0", "1", "-EINVAL")} <= found
    assert (VERDICT, "group-killed") in found


def test_a_hog_that_is_started_later_is_chosen_from_later():
    """It would be the first victim, and is the second's; the same by the events of a kernel."""
    hogs = (Hog("small", M, cgroup=TOP), Hog("large", 4 * M, cgroup=TOP))
    start = Action(0, After(Occasion.RETURNED), Do.START, hog="large")
    case = Case(hogs, {TOP: {}}, (Step(Call(TOP, 0, 1)),) * 2, actions=(start,))
    judged = FakeKernel().judged(case)
    assert judged.disagreements == ()
    assert [[kill.comm for kill in call.kills] for call in judged.outcome.calls] == [
        ["small"],
        ["large"],
    ]
    assert (STEP, "start after a call") in promised(case) & exercised(judged)


def test_the_case_with_the_rarest_is_chosen():
    coverage = Coverage()
    usual = next(case for case in CASES if (RULE, Rule.TIE) not in promised(case) and case.hogs)
    rare = next(case for case in CASES if (RULE, Rule.TIE) in promised(case))
    for each in promised(usual) | promised(rare) - {(RULE, Rule.TIE)}:
        coverage.counts[each] = 9
    assert coverage.choose([usual, rare]) == 1
    coverage.add([(RULE, Rule.TIE)] * 50)
    assert coverage.choose([usual, usual]) == 0


def test_steering_makes_the_rarest_less_rare(monkeypatch):
    """Over the same seeds the rarest rule comes up more often than if the first draw is taken."""

    def rarest():
        hunt = Hunt(FakeKernel(), 5, replace(SAYABLE, bad=0.01), "x")
        for number in range(150):
            hunt.round(number)
        rows = [n for what, which, n in hunt.coverage.rows(FUZZED) if what in (RULE, VICTIM)]
        return sorted(n for n in rows if n)[:5]

    steered = rarest()
    monkeypatch.setattr(Coverage, "choose", lambda _self, _cases: 0)
    assert sum(steered) > sum(rarest())


def test_rows_have_what_was_never_exercised():
    rows = Coverage().rows(["anon"])
    assert [which for _, which, _ in rows] == [*Rule, "anon"]
    assert {number for *_, number in rows} == {0}
