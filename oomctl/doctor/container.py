"""Whether this is a container, and which namespaces hide the machine from us."""

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.experiment import environment

_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
_OUTSIDE = "run it outside, or with `--privileged --pid=host --cgroupns=host`"


def pid_namespace(machine: Machine) -> Finding:
    """The kernel log names tasks by the PIDs of the first namespace."""
    environment.require_init_pids()
    return ok("the first: the PIDs of the kernel log are ours")


def cgroup_namespace(machine: Machine) -> Finding:
    """In a namespace the hierarchy's root is a cgroup like any other."""
    if machine.in_first_namespace("cgroup"):
        return ok("the first: the whole hierarchy is seen")
    return warning(
        "one of its own: only a part of the hierarchy is seen, under other paths than the kernel "
        "log's",
        "run it with the host's cgroups (`--cgroupns=host`)",
    )


def container(machine: Machine) -> Finding:
    """A container's files are a hint, its namespaces are what matters."""
    mark = next((mark for mark in _MARKS if machine.path(mark).exists()), None)
    own = [kind for kind in ("user", "pid", "cgroup") if not machine.in_first_namespace(kind)]
    if own:
        return warning(f"inside one: {', '.join(own)} namespace of its own", _OUTSIDE)
    if mark:
        return ok(f"{mark} says so, but user, PIDs and cgroups are the machine's own")
    return ok("none")


CHECKS = (
    Check("container", container),
    Check("PID namespace", pid_namespace, needed=True),
    Check("cgroup namespace", cgroup_namespace),
)
