"""Whether hogs can run here, and how many."""

import resource

from oomctl.doctor.examination import Check, told
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.text import counted

_OURS, _EACH = 64, 2
"""Open files of oomctl itself, and for each hog: its reports, its pidfd."""
_USAGE = 2
"""The exit status of a hog that is told nothing."""
_AGAIN = "install oomctl again, on a file system that is not mounted noexec"


def hog(machine: Machine) -> Finding:
    """It is a program without a libc, made for each architecture."""
    there, name = machine.hogs(), machine.architecture
    if name not in there:
        return missing(
            f"there is no hog for {name}, only for {', '.join(there) or 'nothing'}",
            "use `--cgroup` with processes of your own, or install oomctl again",
        )
    try:
        status, said = machine.try_hog()
    except OSError as error:  # noexec, or made for another machine
        return missing(f"the hog for {name} does not run: {told(error)}", _AGAIN)
    if status != _USAGE:
        why = said.strip() or f"exit status {status}"
        return missing(f"the hog for {name} does not run: {why}", _AGAIN)
    return ok(f"the one for {name} runs")


def open_files(machine: Machine) -> Finding:
    """Each hog takes a pipe and a pidfd."""
    limit = machine.limit(resource.RLIMIT_NOFILE)
    if limit < 0:
        return ok("no limit")
    room = max(0, limit - _OURS) // _EACH
    if limit < 4 * _OURS:
        return warning(f"{limit}: room for about {counted(room, 'hog')}", "ulimit -n 16384")
    return ok(f"{limit}: room for about {counted(room, 'hog')}")


CHECKS = (
    Check("hog", hog, needed=True),
    Check("open files", open_files),
)
