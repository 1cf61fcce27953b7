"""What a scenario's keys need of each other, a module for each table. Pure."""

from collections.abc import Iterator

from oomctl.oom.plan import MAX_HOGS
from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Layout
from oomctl.scenario.rules.calls import call_faults, sysctl_faults
from oomctl.scenario.rules.cgroups import limit_faults, protection_faults
from oomctl.scenario.rules.expect import expect_faults
from oomctl.scenario.rules.hogs import MAY_FAIL, hog_faults, place_faults, room_faults
from oomctl.scenario.rules.steps import step_faults

__all__ = ["MAY_FAIL", "faults"]


def faults(layout: Layout) -> Iterator[Fault]:
    """Yield every fault; some show only if the machine's memory is known."""
    hogs = layout.file.hog.values()
    total = sum(1 if hog.count is None else hog.count for hog in hogs)
    if total > MAX_HOGS:
        yield Fault(("hog",), f"{total} hogs are too many", f"{MAX_HOGS} at most")
        return
    for find in (
        *(hog_faults, place_faults, room_faults, limit_faults, protection_faults),
        *(call_faults, step_faults, expect_faults, sysctl_faults),
    ):
        yield from find(layout)
