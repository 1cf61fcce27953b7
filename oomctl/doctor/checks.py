"""Every check, in the order in which they are made and shown."""

from oomctl.doctor import bpf, cgroups, container, hogs, memory, oomkiller, privileges, rivals

CHECKS = (
    *privileges.CHECKS,
    *container.CHECKS,
    *bpf.CHECKS,
    *cgroups.CHECKS,
    *oomkiller.CHECKS,
    *rivals.CHECKS,
    *hogs.CHECKS,
    *memory.CHECKS,
)
