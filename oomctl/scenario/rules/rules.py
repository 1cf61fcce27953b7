"""What a scenario's keys need of each other. Pure."""

from collections.abc import Iterator

from oomctl.oom.plan import MAX_HOGS
from oomctl.scenario.fault import Fault
from oomctl.scenario.rules.calls import call_faults, sysctl_faults
from oomctl.scenario.rules.expectations import expect_faults
from oomctl.scenario.rules.hogs import kind_faults, name_faults, place_faults
from oomctl.scenario.rules.sizes import limit_faults, protection_faults, size_faults
from oomctl.scenario.sizes import Sizes


def faults(sizes: Sizes) -> Iterator[Fault]:
    """Yield what cannot be; some of it shows only where the machine's memory is known."""
    file = sizes.layout.file
    total = sum(1 if hog.count is None else hog.count for hog in file.hog.values())
    if total > MAX_HOGS:
        yield Fault(("hog",), f"{total} hogs are too many", f"{MAX_HOGS} at most")
        return
    for name, hog in file.hog.items():
        yield from kind_faults(name, hog)
    yield from name_faults(sizes.layout)
    yield from place_faults(sizes.layout)
    yield from size_faults(sizes)
    yield from limit_faults(sizes)
    yield from protection_faults(sizes)
    yield from call_faults(sizes.layout)
    yield from expect_faults(sizes.layout)
    yield from sysctl_faults(sizes.layout)
