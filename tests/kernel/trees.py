"""Random trees to hold prediction and kernel against each other; tree N is always the same."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from oomctl.fuzz.generator import random_case
from oomctl.fuzz.weights import Weights
from oomctl.oom.plan import Call, Hog, Plan, Step
from oomctl.scenario.draft import Draft
from oomctl.scenario.names import TOP as HERE

TOP = "/oomctl-predicted"
K, M = 1 << 10, 1 << 20
_SEED = 441  # the first 15 trees from here have everything (tests/unit/fuzz/test_trees.py)
_TIMEOUT = 120.0  # an emulated guest on a busy machine is slow to fill


@dataclass(frozen=True)
class Tree:
    """One random experiment; `reclaim` are the bytes to ask of the target before the call."""

    number: int
    plan: Plan
    swap: bool = False
    """Whether it wants a swap device."""
    reclaim: int = 0

    @property
    def call(self) -> Call:
        """The one call of its plan."""
        return self.plan.steps[0].call

    @property
    def target(self) -> str:
        """The cgroup that is out of memory."""
        return self.call.target or ""

    @property
    def groups(self) -> set[str]:
        """The cgroups with memory.oom.group."""
        return {each.cgroup for each in self.plan.settings if each.file == "memory.oom.group"}


def random_tree(number: int) -> Tree:
    """Return tree `number`."""
    case = random_case(random.Random(_SEED + number), Weights())
    return Tree(number, case.plan(TOP), case.swap, case.reclaim)


def plan_of(
    hogs: Sequence[Hog],
    settings: Sequence[tuple[str, str, object]],
    *,
    nodes: Sequence[str],
    enabled: Sequence[str],
    call: Call,
) -> Plan:
    """Plan TOP and what is below it: "" is TOP, "/a" is below it; the call's target is a path."""
    files: dict[str, dict[str, str]] = {_below(node): {} for node in nodes}
    for node, file, value in settings:
        files[_below(node)][file] = str(value)
    placed = tuple(
        Hog(hog.name, hog.size, hog.oom_score_adj, _below(hog.cgroup), hog.kind) for hog in hogs
    )
    kept = tuple(each for each in files if each not in map(_below, enabled))
    draft = Draft(placed, files, (Step(call),), timeout=_TIMEOUT, no_controller=kept)
    return draft.plan(TOP)


def _below(node: str) -> str:
    return node.removeprefix("/") or HERE
