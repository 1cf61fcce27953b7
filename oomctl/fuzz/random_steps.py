"""The calls of a random case, and what is done between them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from oomctl.fuzz import random_actions
from oomctl.fuzz.case import Case
from oomctl.fuzz.weights import K, M, Weights
from oomctl.oom.enums import Via
from oomctl.oom.plan import INT32_MAX, INT32_MIN, WAIT_ON_OOM_LOCK, Call, Step

_BAD_ORDERS = (-1, 11, 64, INT32_MIN, INT32_MAX)
_BAD_FLAGS = (2, 3, 1 << 32, 1 << 63)


def with_steps(dice: random.Random, weights: Weights, case: Case, given: Sequence[str]) -> Case:
    """Add calls that are invalid, do not wait, or come after the first, and actions.

    `given` are the cgroups that have the controller.
    """
    # the children of a forker are made anew between two calls
    is_steady = not any(hog.kind == "forker" for hog in case.hogs)
    # cgroup.kill does not reach them: the kernel sends SIGKILL to the leader alone, even if that
    # has ended (kernel/cgroup/cgroup.c, __cgroup_kill)
    leaderless = any(hog.leader_exits for hog in case.hogs)
    triggers = _Triggers(sum(hog.size for hog in case.hogs), case.swap, not leaderless)
    steps = [
        _varied(dice, weights, step) if step.call.via == Via.BPF else step for step in case.steps
    ]
    if is_steady:
        steps = [_triggered(dice, weights, step, triggers) for step in steps]
    if is_steady and steps[0].call.via != Via.LIMIT and dice.random() < weights.several:
        for _ in range(dice.randint(1, 2)):
            again = replace(case.steps[0].call, target=dice.choice(given))
            step = _varied(dice, weights, Step(again))
            steps.append(_triggered(dice, weights, step, triggers))
    more = replace(case, steps=tuple(steps))
    actions = enumerate(random_actions.actions(dice, weights, more))
    return replace(more, actions=tuple(replace(each, step=step) for step, each in actions))


@dataclass(frozen=True)
class _Triggers:
    """What decides on the trigger: the hogs' bytes, whether there is swap, whether all may die."""

    wanted: int
    swap: bool
    may_kill: bool


def _triggered(dice: random.Random, weights: Weights, step: Step, given: _Triggers) -> Step:
    """Return a step with another trigger, or with several callers."""
    call = step.call
    if call.via == Via.BPF and dice.random() < weights.triggered:
        # with swap, reclaim changes what is chosen from after the look
        if given.swap or dice.random() < 0.4:
            by_kill = Call(call.target, 0, WAIT_ON_OOM_LOCK, Via.KILL)
            return replace(step, call=by_kill) if given.may_kill else step
        amount = dice.choice([256 * K, M, given.wanted // 2 + M])
        return replace(step, call=replace(call, via=Via.RECLAIM, amount=amount))
    if call.via == Via.BPF and dice.random() < weights.together:
        return replace(step, callers=dice.randint(2, 4))
    return step


def _varied(dice: random.Random, weights: Weights, step: Step) -> Step:
    order, flags = dice.choice([0, 0, 0, *range(11)]), dice.choice([0, 1])
    if dice.random() < weights.bad:
        order, flags = dice.choice(
            [(dice.choice(_BAD_ORDERS), flags), (order, dice.choice(_BAD_FLAGS))]
        )
    return replace(step, call=replace(step.call, order=order, flags=flags))
