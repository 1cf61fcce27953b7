"""The variants of one scenario, ready to be planned anew for each round. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oomctl.oom.plan import Plan
from oomctl.rounds.lines import way_of
from oomctl.rounds.loop import PlannedVariant
from oomctl.rounds.variant import Variant, triggered
from oomctl.scenario import planning

if TYPE_CHECKING:
    from oomctl.scenario.written import Scenario


@dataclass(frozen=True)
class Place:
    """Where rounds are carried out: `fresh_name` names a tree that no other run has.

    `memory` is the machine's in bytes; `parent` and `timeout` are None for the scenario's own.
    """

    fresh_name: Callable[[], str]
    memory: int
    parent: str | None = None
    timeout: float | None = None

    def plan(self, scenario: "Scenario", variant: Variant) -> Plan:
        """Plan one round; ScenarioError where the machine is too small for it."""
        site = planning.Site(self.fresh_name(), self.memory, self.parent)
        plan = triggered(planning.plan(scenario, site), variant.via)
        return plan if self.timeout is None else replace(plan, timeout=self.timeout)


@dataclass(frozen=True)
class VariantPlanner:
    """One scenario as each variant has it, in the order of the variants."""

    scenarios: tuple["Scenario", ...]
    variants: tuple[Variant, ...]
    place: Place

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenarios[0].name

    def plans(self) -> tuple[Plan, ...]:
        """Return a plan for each variant."""
        return tuple(map(self.place.plan, self.scenarios, self.variants))

    def planned(self) -> tuple[PlannedVariant, ...]:
        """Return each variant with what plans its rounds."""

        def planned(scenario: "Scenario", variant: Variant) -> PlannedVariant:
            plan = self.place.plan(scenario, variant)
            return PlannedVariant(way_of(variant, plan), lambda: self.place.plan(scenario, variant))

        return tuple(map(planned, self.scenarios, self.variants))
