"""Each action and each occasion in words."""

import pytest

from oomctl.describe.step_text import action_text, after_text
from oomctl.oom.enums import Do, Occasion
from oomctl.oom.plan import Action, After

LEFT = {"cgroup": "/t/left"}


@pytest.mark.parametrize(
    ("do", "given", "text"),
    [
        (Do.WRITE, {**LEFT, "file": "memory.max", "value": "4096"}, "write left/memory.max = 4096"),
        (Do.REMOVE, LEFT, "remove left"),
        (Do.MOVE, {**LEFT, "hog": "a"}, "move a to left"),
        (Do.SYSCTL, {"file": "vm.swappiness", "value": "0"}, "set vm.swappiness = 0"),
        (Do.SYSFS, {"file": "/sys/kernel/mm/x", "value": "0"}, "write /sys/kernel/mm/x = 0"),
        (Do.STOP, {"hog": "a"}, "stop a"),
        (Do.CONTINUE, {"hog": "a"}, "continue a"),
        (Do.KILL, {"hog": "a"}, "kill a"),
        (Do.START, {"hog": "a"}, "start a"),
    ],
)
def test_an_action(do, given, text):
    assert action_text(Action(0, After(), do, **given), "/t").replace("./", "") == text


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (After(Occasion.STARTED, delay=1.5), "1.50 s"),
        (After(), "the hogs are filled"),
        (After(Occasion.FILLED, ("a",), delay=0.01), "10.0 ms after a is filled"),
        (After(Occasion.FILLED, ("a", "b")), "a, b are filled"),
        (After(Occasion.MARKED, ("a",)), "a is marked"),
        (After(Occasion.EXITED, ("a",)), "a has ended"),
        (After(Occasion.RETURNED, call=1), "call 2 has returned"),
    ],
)
def test_an_occasion(after, text):
    assert after_text(after) == text


@pytest.mark.parametrize(
    ("do", "file", "turns"),
    [
        (Do.WRITE, "memory.max", True),
        (Do.WRITE, "cgroup.freeze", False),
        (Do.SYSCTL, "vm.swappiness", True),
        (Do.SYSCTL, "vm.oom_dump_tasks", False),
        (Do.MOVE, "", True),
        (Do.STOP, "", False),
    ],
)
def test_only_some_actions_may_turn_the_choice(do, file, turns):
    assert Action(0, After(), do, file=file).may_turn_choice is turns
