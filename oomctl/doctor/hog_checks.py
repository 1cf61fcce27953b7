"""Whether hogs and callers can run here, how many, and what memory hogs get."""

import errno
from dataclasses import dataclass

from oomctl.doctor.examination import Checks, Finding, error_text, missing, ok, warning
from oomctl.doctor.machine import Machine, selected
from oomctl.proc import openfiles
from oomctl.text import counted
from oomctl.units import format_size

CHECKS = Checks()

_USAGE_STATUS = 2
"""The exit status of a hog or a caller without arguments."""
_REINSTALL = "install oomctl again, on a file system that is not mounted noexec"
_ENOUGH_MEMORY = 256 << 20
_THP = "/sys/kernel/mm/transparent_hugepage/enabled"
_ZSWAP = "/sys/module/zswap/parameters/enabled"


@CHECKS.add("hog", needed=True)
def _hog(machine: Machine) -> Finding:
    return _runs(machine, "hog", "use `--cgroup` with processes of your own")


@CHECKS.add("caller", needed=True)
def _caller(machine: Machine) -> Finding:
    return _runs(machine, "caller", "run oomctl on a machine of another architecture")


def _runs(machine: Machine, program: str, instead: str) -> Finding:
    """Return whether a program runs; it has no libc, and is built for each architecture."""
    built, name = machine.built_for(program), machine.architecture
    if name not in built:
        return missing(
            f"there is no {program} for {name}, only for {', '.join(built) or 'no architecture'}",
            f"{instead}, or install oomctl again",
        )
    try:
        status, output = machine.try_built(program)
    except OSError as error:  # noexec, or built for another machine
        return missing(f"the {program} for {name} does not run: {error_text(error)}", _REINSTALL)
    if status != _USAGE_STATUS:
        why = output.strip() or f"exit status {status}"
        return missing(f"the {program} for {name} does not run: {why}", _REINSTALL)
    return ok(f"the {program} for {name} runs")


@CHECKS.add("open files")
def _open_files(machine: Machine) -> Finding:
    limit = machine.open_files
    if limit < 0:
        return ok("no limit")
    room = max(0, limit - openfiles.OWN) // openfiles.PER_HOG
    found = f"{limit}: room for about {counted(room, 'hog')}"
    return warning(found, "ulimit -n 16384") if limit < 4 * openfiles.OWN else ok(found)


@CHECKS.add("memory")
def _memory(machine: Machine) -> Finding:
    found = f"{format_size(machine.available_memory)} available"
    if machine.available_memory < _ENOUGH_MEMORY:
        return warning(f"{found}: larger hogs are refused", "use a smaller --size")
    return ok(found)


@dataclass(frozen=True)
class Swap:
    """A swap area; sizes in bytes."""

    path: str
    size: int
    used: int


def parse_swaps(text: str) -> list[Swap]:
    """Return the swap areas in the text of /proc/swaps; ValueError if it is malformed."""
    swaps = []
    for line in text.splitlines()[1:]:
        # blanks in a path are written as \040 (mm/swapfile.c, swap_show)
        path, _kind, size, used, _priority = line.split()
        swaps.append(Swap(path, int(size) << 10, int(used) << 10))
    return swaps


def _swaps(machine: Machine) -> list[Swap]:
    return parse_swaps(machine.read("/proc/swaps") or "")


@CHECKS.add("swap")
def _swap(machine: Machine) -> Finding:
    """The cgroups of a run get no swap, but the system swaps before it is out of memory."""
    swaps = _swaps(machine)
    if not swaps:
        return ok("none")
    size, used = (format_size(sum(n)) for n in zip(*((s.size, s.used) for s in swaps), strict=True))
    names = ", ".join(each.path for each in swaps)
    return warning(
        f"{size} on {names}, {used} used: with --global hogs may be swapped out first",
        "swapoff -a",
    )


@CHECKS.add("zram")
def _zram(machine: Machine) -> Finding:
    """Pages swapped to zram stay in memory, compressed: how much is freed depends on them."""
    found = [each.path for each in _swaps(machine) if each.path.startswith("/dev/zram")]
    if not found:
        return ok("no swap on zram")
    return warning(
        f"swap on {', '.join(found)}: swapped-out pages still take memory",
        f"swapoff {' '.join(found)}",
    )


@CHECKS.add("zswap")
def _zswap(machine: Machine) -> Finding:
    """It keeps compressed pages in memory before they go to the swap device."""
    text = machine.read(_ZSWAP)
    if text not in ("Y", "1"):
        return ok("off" if text else "this kernel has none")
    if not _swaps(machine):
        return ok("on, but there is no swap")
    return warning("on: swapped-out pages still take memory", f"echo N >{_ZSWAP}")


@CHECKS.add("PSI")
def _psi(machine: Machine) -> Finding:
    """If PSI is built in but off, opening the file works and reading it does not."""
    try:
        on = machine.read("/proc/pressure/memory") is not None
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        on = False
    return ok("on") if on else warning("off: reports lack memory pressure", "boot with `psi=1`")


@CHECKS.add("overcommit_memory")
def _overcommit(machine: Machine) -> Finding:
    """With 2, mmap() fails at the commit limit, long before memory is short."""
    if machine.sysctl("vm.overcommit_memory") == 2:
        return warning(
            "2: a hog may get ENOMEM though memory is free", "sysctl vm.overcommit_memory=0"
        )
    return ok("not strict: hogs can use all free memory")


@CHECKS.add("huge pages")
def _huge_pages(machine: Machine) -> Finding:
    """Hogs of the kind hugetlb get only reserved huge pages."""
    lines = (machine.read("/proc/meminfo") or "").splitlines()
    sizes = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    free = int((sizes.get("HugePages_Free") or ["0"])[0])
    if not free:
        return ok("none reserved; hogs of the kind hugetlb need `sysctl vm.nr_hugepages=16`")
    return ok(f"{free} of {format_size(int(sizes['Hugepagesize'][0]) << 10)} free")


@CHECKS.add("transparent huge pages")
def _thp(machine: Machine) -> Finding:
    """Hogs ask for them by madvise(2), which only `never` ignores."""
    text = machine.read(_THP)
    if text is None:
        return warning("not built in: hogs with `thp = true` are refused", "use another kernel")
    if selected(text) == "never":
        return warning("never: hogs with `thp = true` are refused", f"echo madvise >{_THP}")
    return ok(selected(text))
