"""What oomctl is allowed to do: root, capabilities, containers and their namespaces."""

from oomctl.doctor.examination import Checks, DoctorCheck, Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.experiment import environment
from oomctl.proc.capabilities import CAPABILITIES, SYS_ADMIN, Capability, CapabilitySets

CHECKS = Checks()
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")


@CHECKS.add("root", needed=True)
def _root(machine: Machine) -> Finding:
    environment.require_root()
    return ok(f"uid {machine.uid}")


@CHECKS.add("user namespace", needed=True)
def _user_namespace(machine: Machine) -> Finding:
    if machine.in_first_namespace("user"):
        return ok("the initial one: root has its full privileges")
    # bpf(2) asks capable(), which means the initial user namespace
    return missing(
        "oomctl is root only in a user namespace, and bpf(2) does not accept its capabilities",
        "run it outside of the (rootless) container",
    )


def _capability(capability: Capability) -> DoctorCheck:
    def look(machine: Machine) -> Finding:
        held = _held(machine)
        if lack := capability.lack(held):
            return (missing if capability.needed else warning)(lack.why, lack.hint)
        if capability.held(held):
            return ok("held")
        return ok(f"not held, but {SYS_ADMIN.name} includes it")

    return DoctorCheck(capability.name, look, capability.needed)


def _held(machine: Machine) -> CapabilitySets:
    return CapabilitySets(
        machine.capabilities("CapEff"), machine.capabilities("CapBnd"), machine.uid
    )


def may_trace(machine: Machine) -> bool:
    """Tell whether oomctl has the capabilities that BPF programs need."""
    return not any(each.needed and each.lack(_held(machine)) for each in CAPABILITIES)


CHECKS += map(_capability, CAPABILITIES)


@CHECKS.add("container")
def _container(machine: Machine) -> Finding:
    """A container's files are only a hint; its namespaces matter."""
    file = next((file for file in _CONTAINER_FILES if machine.path(file).exists()), None)
    own = [kind for kind in ("user", "pid", "cgroup") if not machine.in_first_namespace(kind)]
    if own:
        return warning(
            f"oomctl runs in a container: {', '.join(own)} namespace of its own",
            "run it outside, or with `--privileged --pid=host --cgroupns=host`",
        )
    if file:
        return ok(f"{file} exists, but the user, pid and cgroup namespaces are the initial ones")
    return ok("none")


@CHECKS.add("PID namespace", needed=True)
def _pid_namespace(_machine: Machine) -> Finding:
    environment.require_init_pids()
    return ok("the initial one: PIDs in the kernel log are oomctl's PIDs")


@CHECKS.add("cgroup namespace")
def _cgroup_namespace(machine: Machine) -> Finding:
    if machine.in_first_namespace("cgroup"):
        return ok("the initial one: the whole hierarchy is visible")
    return warning(
        "not the initial one: only a part of the hierarchy is visible, under other paths than in "
        "the kernel log",
        "run it with the host's cgroups (`--cgroupns=host`)",
    )
