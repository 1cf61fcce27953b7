"""Whether cgroup v2 has the memory controller, and whether oomctl may make cgroups in it."""

import shlex

from oomctl import commandline
from oomctl.cgroup import hierarchy
from oomctl.cgroup.parent import require_children
from oomctl.doctor.examination import Checks, DoctorCheck, Finding, missing, ok, warning
from oomctl.doctor.machine import CGROUP2_SUPER_MAGIC, Machine
from oomctl.errors import UnsupportedError
from oomctl.text import quoted

CHECKS = Checks()

_FEW = 16
"""Processes that a run needs beside itself: its callers, and hogs until they have moved out."""


@CHECKS.add("cgroup v2", needed=True)
def _mount(machine: Machine) -> Finding:
    """The mount table may be outdated or covered; statfs(2) tells what is really mounted."""
    folder = machine.hierarchy.directory
    if machine.magic(folder) != CGROUP2_SUPER_MAGIC:
        return missing(
            f"the mount table has it at {folder}, but something else is mounted over it",
            f"umount {shlex.quote(str(folder))}",
        )
    return ok(f"mounted at {folder}")


@CHECKS.add("cgroupfs", needed=True, after="cgroup v2")
def _writable(machine: Machine) -> Finding:
    folder = machine.hierarchy.directory
    if machine.read_only(folder):
        return missing(
            f"{folder} is mounted read-only (a container?)",
            f"mount -o remount,rw {shlex.quote(str(folder))}",
        )
    if not machine.may_write(folder):
        return missing(f"uid {machine.uid} may not make cgroups in {folder}", "run it with sudo")
    return ok(f"cgroups can be made in {folder}")


@CHECKS.add("memory controller", needed=True, after="cgroup v2")
def _memory(machine: Machine) -> Finding:
    """A controller belongs to one hierarchy: cgroup v1 may have it."""
    hierarchy.require_memory(machine.hierarchy)
    return ok("available in the hierarchy")


@CHECKS.add("subtree_control", needed=True, after="memory controller")
def _children(machine: Machine) -> Finding:
    """A cgroup with processes gives no controller to its children, unless it is the real root."""
    node = machine.hierarchy
    if "memory" in (node.controller.subtree_control or ()):
        return ok("memory is in the root's cgroup.subtree_control")
    if node.controller.cgroup_events is not None:  # the real root has no cgroup.events
        require_children(node)
    return ok("not yet: the first run writes +memory to the root's cgroup.subtree_control")


@CHECKS.add("own cgroup", after="memory controller")
def _own(machine: Machine) -> Finding:
    """`--parent self` makes the tree in oomctl's own cgroup."""
    cgroup = machine.own_cgroup
    if cgroup == "/":
        return ok("the root")
    node = machine.hierarchy.at(cgroup)
    if cgroup.startswith("/..") or not node.directory.is_dir():
        return warning(
            f"{cgroup} is outside the visible part of the hierarchy",
            "run it with the host's cgroups (`--cgroupns=host`)",
        )
    if not machine.may_write(node.directory):
        return warning(
            f"uid {machine.uid} may not make cgroups in {node.directory}, so no `--parent self`",
            "run it with sudo",
        )
    try:
        require_children(node)
    except UnsupportedError as error:
        return warning(f"no `--parent self`: {error.why}", error.hint)
    return ok(f"{cgroup}; `--parent self` can make cgroups in it")


@CHECKS.add("delegation", after="cgroup v2")
def _delegation(machine: Machine) -> Finding:
    """PID 1, systemd, may change any cgroup of a unit, but not what is below a delegated one."""
    cgroup = machine.own_cgroup
    if cgroup == "/" or cgroup.startswith("/.."):
        return ok("not needed: oomctl's own cgroup belongs to no unit")
    node = machine.hierarchy.at(cgroup)
    while node.parent:
        if machine.delegated(node.directory):
            return ok(f"{node.cgroup} is delegated")
        node = node.parent
    if machine.read("/proc/1/comm") != "systemd":
        return ok("not needed: PID 1 is not systemd")
    return warning(
        f"{cgroup} is managed by systemd, so no `--parent self`", f"run {commandline.in_scope()}"
    )


@CHECKS.add("memory_localevents", after="cgroup v2")
def _localevents(machine: Machine) -> Finding:
    if "memory_localevents" not in machine.mount_options:
        return ok("not set: memory.events count the whole subtree")
    kept = {"nsdelegate", "memory_recursiveprot"} & machine.mount_options
    options = ",".join(["remount", "rw", *sorted(kept)])
    return warning(
        "set: memory.events leave out the events of child cgroups",
        f"mount -o {options} none {shlex.quote(str(machine.hierarchy.directory))}",
    )


def _mount_option(name: str, when: str, unless: str) -> DoctorCheck:
    """Return the check of a mount option that oomctl works both with and without."""

    def look(machine: Machine) -> Finding:
        return ok(f"set: {when}" if name in machine.mount_options else f"not set: {unless}")

    return DoctorCheck(name, look, after="cgroup v2")


CHECKS += (
    _mount_option(
        "memory_recursiveprot",
        "memory.min and memory.low protect the whole subtree",
        "each cgroup needs its own memory.min and memory.low",
    ),
    _mount_option(
        "nsdelegate",
        "cgroup namespaces are delegation boundaries",
        "cgroup namespaces are not delegation boundaries",
    ),
)


@CHECKS.add("pids.max", after="cgroup v2")
def _pids(machine: Machine) -> Finding:
    """A new process counts in oomctl's own cgroup and all above it until it has moved out."""
    room, place = float("inf"), ""
    node = machine.hierarchy.at(machine.own_cgroup)
    while node.parent:
        limit, current = (node.controller.get_property(f) for f in (b"pids.max", b"pids.current"))
        if limit not in (None, "max") and (left := int(limit or 0) - int(current or 0)) < room:
            room, place = left, str(node.directory)
        node = node.parent
    if not place:
        return ok("no limit")
    found = f"{place} has room for {room} more processes"
    return ok(found) if room >= _FEW else warning(found, f"echo max >{quoted(f'{place}/pids.max')}")
