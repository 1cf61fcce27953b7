"""What we are allowed to do: root, and each capability by name."""

from dataclasses import dataclass

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.kernel import environment
from oomctl.kernel.machine import Machine


@dataclass(frozen=True)
class Capability:
    """A capability: its number in include/uapi/linux/capability.h, and what is lost without it."""

    name: str
    bit: int
    without: str
    needed: bool = False

    def __call__(self, machine: Machine) -> Finding:
        """Tell whether it is effective, and whether it can be had."""
        held = machine.capabilities("CapEff")
        if held >> self.bit & 1:
            return ok("held")
        # bpf_capable() and perfmon_capable(), include/linux/capability.h
        if self.needed and held >> SYS_ADMIN.bit & 1:
            return ok(f"not held, but {SYS_ADMIN.name} stands for it")
        found = missing if self.needed else warning
        if machine.capabilities("CapBnd") >> self.bit & 1:
            return found(
                f"not held: {self.without}",
                "run it with sudo" if machine.uid else "run it from a root shell that has all",
            )
        return found(
            f"not held, nor in the bounding set: {self.without}",
            f"grant it to what started this shell (a container: `--cap-add={self.name[4:]}`)",
        )


SYS_ADMIN = Capability(
    "CAP_SYS_ADMIN", 21, "libbpf gets no BTF of modules, so no kfunc that a module provides"
)
CAPABILITIES = (
    SYS_ADMIN,
    Capability("CAP_BPF", 39, "the kernel loads no BPF program", needed=True),
    Capability("CAP_PERFMON", 38, "BPF programs may not follow kernel pointers", needed=True),
    Capability(
        "CAP_SYS_RESOURCE",
        24,
        "oomctl cannot lower its oom_score_adj to keep the OOM killer off itself",
    ),
    Capability("CAP_SYSLOG", 34, "the kernel log is closed where kernel.dmesg_restrict is 1"),
    Capability("CAP_SYS_PTRACE", 19, "of others' tasks it cannot be told who waits in vfork"),
    Capability("CAP_KILL", 5, "what other users left in a cgroup cannot be signalled"),
)


def may_trace(machine: Machine) -> bool:
    """Tell whether the capabilities that BPF programs take are held."""
    return all(each(machine).state == "ok" for each in CAPABILITIES if each.needed)


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


CHECKS = (
    Check("root", root, needed=True),
    Check("user namespace", user_namespace, needed=True),
    *(Check(each.name, each, each.needed) for each in CAPABILITIES),
)
