"""The options of `oomctl declare` as the scenario that a file with the same wishes has. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from oomctl.oom.plan import Hog
from oomctl.scenario.fault import Origin
from oomctl.scenario.names import TOP
from oomctl.scenario.reading import scenario as checked
from oomctl.scenario.rules.sizes import MAY_FAIL
from oomctl.scenario.written import Scenario

_SPELLED = (("memory.max of '.'", "--memory-max"), (MAY_FAIL, ""))


def scenario(
    hogs: Sequence[Hog],
    call: Mapping[str, Any],
    memory_max: int | None,
    swap_max: int | None,
    oom_group: bool,
    timeout: float,
) -> Scenario:
    """Make a scenario of options, each of which is sound by itself."""
    memory: dict[str, Any] = {} if memory_max is None else {"max": memory_max}
    memory |= {} if swap_max is None else {"swap": {"max": swap_max}}
    memory |= {"oom": {"group": True}} if oom_group else {}
    elsewhere = call.get("global") or call.get("target", TOP).startswith("/")
    raw = {
        "timeout": timeout,
        "cgroup": {} if elsewhere and not hogs else {TOP: {"memory": memory}},
        "hog": {hog.name: {"size": hog.size, "oom_score_adj": hog.oom_score_adj} for hog in hogs},
        "call": [dict(call)],
    }
    return checked(raw, "declare", "", Origin(spelled=_SPELLED))
