"""What we are allowed to do: root, and each capability by name."""

from collections.abc import Callable

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.experiment import environment
from oomctl.proc.capabilities import CAPABILITIES, SYS_ADMIN, Capability, CapabilitySets


def may_trace(machine: Machine) -> bool:
    """Tell whether the capabilities that BPF programs take are held."""
    return not any(each.needed and each.lack(_held(machine)) for each in CAPABILITIES)


def root(machine: Machine) -> Finding:
    """Root may load programs and make cgroups."""
    environment.require_root()
    return ok(f"uid {machine.uid}")


def user_namespace(machine: Machine) -> Finding:
    """Capabilities in a user namespace count for nothing with bpf(2), capable() asks the first."""
    if machine.in_first_namespace("user"):
        return ok("the first: root is root")
    return missing(
        "root of a user namespace only, whose capabilities bpf(2) does not take",
        "run it outside of the (rootless) container",
    )


def _capability(one: Capability) -> Callable[[Machine], Finding]:
    def look(machine: Machine) -> Finding:
        held = _held(machine)
        if lack := one.lack(held):
            return (missing if one.needed else warning)(lack.why, lack.hint)
        return ok("held" if one.held(held) else f"not held, but {SYS_ADMIN.name} stands for it")

    return look


def _held(machine: Machine) -> CapabilitySets:
    return CapabilitySets(
        machine.capabilities("CapEff"), machine.capabilities("CapBnd"), machine.uid
    )


CHECKS = (
    Check("root", root, needed=True),
    Check("user namespace", user_namespace, needed=True),
    *(Check(each.name, _capability(each), each.needed) for each in CAPABILITIES),
)
