"""The variants of a scenario that a run takes in turn, and their plans. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from oomctl.errors import UsageError
from oomctl.oom.enums import Via
from oomctl.oom.plan import CallExpect, Plan, Step, flag_names, flags_of
from oomctl.rounds.run import VariantRecord
from oomctl.scenario import planning

if TYPE_CHECKING:
    from oomctl.scenario.scenario import Scenario

MAX_VARIANTS = 1000


@dataclass(frozen=True)
class PlannedVariant:
    """A variant, and the function that plans its next round: in a new tree each time."""

    record: VariantRecord
    plan: Callable[[], Plan]


@dataclass(frozen=True)
class Variant:
    """A scenario with some keys overridden and every call made by `via`; None keeps its own."""

    label: str = ""
    overrides: tuple[str, ...] = ()
    via: Via | None = None


def variants(
    varied: Sequence[Sequence[tuple[str, str]]], vias: Sequence[Via] = ()
) -> tuple[Variant, ...]:
    """Return every combination of the (label, override) pairs of each key and of the triggers.

    Raises UsageError if there are too many.
    """
    triggers: Sequence[Via | None] = vias or (None,)
    count = prod(map(len, [*varied, triggers]))
    if count > MAX_VARIANTS:
        raise UsageError(f"{count} variants are too many", f"{MAX_VARIANTS} at most; vary less")
    return tuple(
        Variant(
            ", ".join([*(label for label, _override in keys), *([via] if via else [])]),
            tuple(override for _label, override in keys),
            via,
        )
        for keys in product(*varied)
        for via in triggers
    )


def triggered(plan: Plan, via: Via | None) -> Plan:
    """Return the plan with every call made by another trigger.

    A call that this changes loses order, flags, amount and recheck, which belong to its own
    trigger. The plan loses the expectations of return values, counters and latency; the expected
    victims stay. A sysrq call has no target cgroup. Raises UsageError if the plan has no call.
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
    flags = flags_of(None, None, target is None) if via in ("bpf", "psi") else 0
    return replace(
        step,
        call=replace(call, via=via, target=target, order=0, flags=flags, amount=None),
        recheck=None,
        expect=CallExpect(victims=step.expect.victims),
    )


def judged(plan: Plan) -> bool:
    """Return whether a plan has any expectation."""
    return plan.expect is not None or any(step.expect != CallExpect() for step in plan.steps)


@dataclass(frozen=True)
class VariantPlanner:
    """Plans each variant of one scenario; `scenarios` has it as each variant changes it."""

    scenarios: tuple["Scenario", ...]
    variants: tuple[Variant, ...]
    site: planning.Site

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenarios[0].name

    def plans(self) -> tuple[Plan, ...]:
        """Plan a round of each variant; ScenarioError if the machine is too small for it."""
        return tuple(map(self._plan, self.scenarios, self.variants))

    def planned(self) -> tuple[PlannedVariant, ...]:
        """Return each variant with the function that plans its rounds."""

        def planned(scenario: "Scenario", variant: Variant) -> PlannedVariant:
            make = planning.planner(scenario, self.site)
            record = variant_record(variant, triggered(make(), variant.via))
            return PlannedVariant(record, lambda: triggered(make(), variant.via))

        return tuple(map(planned, self.scenarios, self.variants))

    def _plan(self, scenario: "Scenario", variant: Variant) -> Plan:
        return triggered(planning.plan(scenario, self.site), variant.via)


def variant_record(variant: Variant, plan: Plan) -> VariantRecord:
    """Return a variant as a record's header has it: with the steps of its plan as plain values."""
    steps = tuple(
        {
            "via": step.call.via,
            "context": step.call.context,
            "stall_s": step.call.stall if step.call.via == Via.PSI else None,
            "target": step.call.target,
            "order": step.call.order,
            "flags": step.call.flags,
            "flag_names": flag_names(step.call.flags),
            "amount_bytes": step.call.amount,
            "callers": step.callers,
            "repeat": step.repeat,
            "delay_s": step.delay,
            "until": step.until,
            "recheck_above_bytes": step.recheck.above if step.recheck else None,
            "recheck_every_s": step.recheck.every if step.recheck else None,
        }
        for step in plan.steps
    )
    return VariantRecord(variant.label, variant.overrides, variant.via, judged(plan), steps)
