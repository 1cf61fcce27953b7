"""A case about a state that lasts only for a while is judged only if it lasted."""

from types import SimpleNamespace

import pytest

from oomctl.oom.outcome import Check
from oomctl.smoke.cases import common
from oomctl.smoke.facts import Skipped


class SlowRunner:
    """Its machine is fast enough only once it has executed some experiments."""

    def __init__(self, slow):
        self.slow, self.executed = slow, 0

    def execute(self, _spec, _prepare, _hold_lock_until):
        self.executed += 1
        checks = (Check("the large dies", False, "the small died"),)
        return SimpleNamespace(outcome=SimpleNamespace(checks=checks), number=self.executed)


def judged(runner):
    case = common.case(
        "a.case", "of two", common.LARGE_DIES, in_time=lambda run: run.number > runner.slow
    )
    return list(case.run(runner))


@pytest.mark.parametrize("slow", [0, 2])
def test_it_is_repeated_until_it_is_in_time(slow):
    runner = SlowRunner(slow)
    assert [check.passed for check in judged(runner)] == [False]
    assert runner.executed == slow + 1


def test_it_is_skipped_if_it_never_is():
    with pytest.raises(Skipped, match="3 times the state that is tested had ended"):
        judged(SlowRunner(3))
