"""What the hogs find: memory, and what else the kernel does with it."""

import errno

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.doctor.parse import Swap, chosen, parse_swaps
from oomctl.units import format_size

_ENOUGH = 256 << 20
_THP = "/sys/kernel/mm/transparent_hugepage/enabled"
_ZSWAP = "/sys/module/zswap/parameters/enabled"


def available(machine: Machine) -> Finding:
    """The hogs are refused where they want more than there is."""
    left = machine.available_memory
    if left < _ENOUGH:
        return warning(
            f"{format_size(left)} available: larger hogs are refused", "ask for less with --size"
        )
    return ok(f"{format_size(left)} available")


def _swaps(machine: Machine) -> list[Swap]:
    return parse_swaps(machine.read("/proc/swaps") or "")


def swap(machine: Machine) -> Finding:
    """Our own cgroups get no swap, but the machine as a whole swaps before it is out of memory."""
    swaps = _swaps(machine)
    if not swaps:
        return ok("none")
    total, used = (
        format_size(sum(n)) for n in zip(*((s.size, s.used) for s in swaps), strict=True)
    )
    names = ", ".join(each.path for each in swaps)
    return warning(
        f"{total} on {names}, {used} used: with --global hogs may be swapped out first",
        "swapoff -a",
    )


def zram(machine: Machine) -> Finding:
    """What is swapped to zram stays in memory, compressed: what is freed depends on the content."""
    found = [each.path for each in _swaps(machine) if each.path.startswith("/dev/zram")]
    if not found:
        return ok("no swap on it")
    return warning(
        f"swap on {', '.join(found)}: what is swapped out still takes memory",
        f"swapoff {' '.join(found)}",
    )


def zswap(machine: Machine) -> Finding:
    """The same in front of a real swap device."""
    text = machine.read(_ZSWAP)
    if text not in ("Y", "1"):
        return ok("off" if text else "this kernel has none")
    if not _swaps(machine):
        return ok("on, but there is no swap")
    return warning("on: what is swapped out still takes memory", f"echo N >{_ZSWAP}")


def psi(machine: Machine) -> Finding:
    """Where PSI is built in but off, opening the file works and reading it does not."""
    try:
        on = machine.read("/proc/pressure/memory") is not None
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        on = False
    if on:
        return ok("on")
    return warning("off: reports have no memory pressure", "boot with `psi=1`")


def overcommit(machine: Machine) -> Finding:
    """With 2, mmap() fails where the limit on promised memory is, long before memory is short."""
    if machine.sysctl("vm.overcommit_memory") == 2:
        return warning(
            "2: a hog may get ENOMEM though memory is left", "sysctl vm.overcommit_memory=0"
        )
    return ok("memory is not promised exactly, so hogs get what there is")


def huge_pages(machine: Machine) -> Finding:
    """Reserved ones are all that hogs of the kind hugetlb can have."""
    lines = (machine.read("/proc/meminfo") or "").splitlines()
    sizes = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    free = int((sizes.get("HugePages_Free") or ["0"])[0])
    if not free:
        return ok("none reserved; hogs of the kind hugetlb take `sysctl vm.nr_hugepages=16`")
    each = int(sizes["Hugepagesize"][0]) << 10
    return ok(f"{free} of {format_size(each)} free")


def thp(machine: Machine) -> Finding:
    """Hogs say by madvise(2) which pages they want; only `never` does not listen."""
    text = machine.read(_THP)
    if text is None:
        return warning("not built in: hogs with `thp = true` are refused", "use another kernel")
    if chosen(text) == "never":
        return warning("never: hogs with `thp = true` are refused", f"echo madvise >{_THP}")
    return ok(chosen(text))


CHECKS = (
    Check("memory", available),
    Check("swap", swap),
    Check("zram", zram),
    Check("zswap", zswap),
    Check("PSI", psi),
    Check("overcommit_memory", overcommit),
    Check("huge pages", huge_pages),
    Check("transparent huge pages", thp),
)
