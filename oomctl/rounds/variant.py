"""The variants of a scenario that a run takes in turn, and what another trigger makes of a plan.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import get_args

from oomctl.errors import UsageError
from oomctl.oom.plan import CallExpect, Plan, Step, Via, flags_of

VIAS: tuple[Via, ...] = get_args(Via)
MAX_VARIANTS = 1000


@dataclass(frozen=True)
class Variant:
    """One way to run a scenario: keys that are overridden, and the trigger, None for its own."""

    label: str = ""
    overrides: tuple[str, ...] = ()
    via: Via | None = None


def variants(
    varied: Sequence[Sequence[tuple[str, str]]], vias: Sequence[Via] = ()
) -> tuple[Variant, ...]:
    """Return every combination of (label, override) of each key varied, and of the triggers.

    UsageError where they are more than anybody can compare.
    """
    ways: Sequence[Via | None] = vias or (None,)
    count = prod(map(len, [*varied, ways]))
    if count > MAX_VARIANTS:
        raise UsageError(f"{count} variants are too many", f"{MAX_VARIANTS} at most; vary less")
    return tuple(
        Variant(
            ", ".join([*(label for label, _override in keys), *([via] if via else [])]),
            tuple(override for _label, override in keys),
            via,
        )
        for keys in product(*varied)
        for via in ways
    )


def triggered(plan: Plan, via: Via | None) -> Plan:
    """Return the plan with every call made by another trigger.

    Where that changes a call, what only its own trigger has goes: order, flags, amount and
    recheck. So do the expectations of what a trigger returns, counts and takes; who dies is
    expected as before. sysrq knows no cgroup. UsageError where nobody calls.
    """
    if via is None:
        return plan
    if not plan.steps:
        raise UsageError("--via: this scenario has no call", "leave --via out, or give it a call")
    steps = tuple(_triggered(step, via) for step in plan.steps)
    if steps == plan.steps:
        return plan
    expect = plan.expect and replace(plan.expect, verdicts=(), returns={}, events={}, latency={})
    return replace(plan, steps=steps, expect=expect)


def _triggered(step: Step, via: Via) -> Step:
    call = step.call
    if call.via == via:
        return step
    target = None if via == "sysrq" else call.target
    flags = flags_of(None, None, target is None) if via == "bpf" else 0
    return replace(
        step,
        call=replace(call, via=via, target=target, order=0, flags=flags, amount=None),
        recheck=None,
        expect=CallExpect(victims=step.expect.victims),
    )


def judged(plan: Plan) -> bool:
    """Tell whether anything is expected of a plan."""
    return plan.expect is not None or any(step.expect != CallExpect() for step in plan.steps)
