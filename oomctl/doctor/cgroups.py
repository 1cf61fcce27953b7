"""Whether cgroup v2 is there with the memory controller, and whose it is."""

import shlex
from collections.abc import Callable

from oomctl import commandline
from oomctl.cgroup import hierarchy
from oomctl.cgroup.parent import require_children
from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.doctor.machine import CGROUP2_SUPER_MAGIC, Machine
from oomctl.errors import UnsupportedError
from oomctl.text import quoted

_FEW = 16
"""Processes that a run needs beside itself: its callers, and hogs until they have moved out."""


def mount(machine: Machine) -> Finding:
    """The mount table may be out of date or covered: statfs(2) knows what is really there."""
    folder = machine.hierarchy.directory
    if machine.magic(folder) != CGROUP2_SUPER_MAGIC:
        return missing(
            f"the mount table has it at {folder}, but something else is mounted over it",
            f"umount {shlex.quote(str(folder))}",
        )
    return ok(f"mounted at {folder}")


def writable(machine: Machine) -> Finding:
    """Containers often have cgroupfs read-only."""
    folder = machine.hierarchy.directory
    if machine.read_only(folder):
        return missing(
            f"{folder} is mounted read-only (a container?)",
            f"mount -o remount,rw {shlex.quote(str(folder))}",
        )
    if not machine.may_write(folder):
        return missing(f"uid {machine.uid} may not make cgroups in {folder}", "run it with sudo")
    return ok(f"cgroups can be made in {folder}")


def memory(machine: Machine) -> Finding:
    """A controller belongs to one hierarchy: cgroup v1 may have it."""
    hierarchy.require_memory(machine.hierarchy)
    return ok("offered by the hierarchy")


def children(machine: Machine) -> Finding:
    """A cgroup with processes gives no controller to its children, unless it is the real root."""
    node = machine.hierarchy
    if "memory" in (node.controller.subtree_control or ()):
        return ok("memory is in the root's cgroup.subtree_control")
    if node.controller.cgroup_events is not None:  # the real root has no cgroup.events
        require_children(node)
    return ok("not yet: the first run writes +memory to the root's cgroup.subtree_control")


def own(machine: Machine) -> Finding:
    """`--parent self` makes the tree in our own cgroup."""
    cgroup = machine.own_cgroup
    if cgroup == "/":
        return ok("the root")
    node = machine.hierarchy.at(cgroup)
    if cgroup.startswith("/..") or not node.directory.is_dir():
        return warning(
            f"{cgroup} is not in the part of the hierarchy that is seen here",
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


def delegation(machine: Machine) -> Finding:
    """A unit is systemd's to change, but for what is below a delegated cgroup."""
    cgroup = machine.own_cgroup
    if cgroup == "/" or cgroup.startswith("/.."):
        return ok("not needed: our own cgroup is nobody's unit")
    node = machine.hierarchy.at(cgroup)
    while node.parent:
        if machine.delegated(node.directory):
            return ok(f"{node.cgroup} is delegated")
        node = node.parent
    if machine.read("/proc/1/comm") != "systemd":
        return ok("not needed: PID 1 is not systemd")
    return warning(
        f"{cgroup} is systemd's own, so no `--parent self`", f"run {commandline.in_scope()}"
    )


def localevents(machine: Machine) -> Finding:
    """With it memory.events no longer count what happens below."""
    name = "memory_localevents"
    if name not in machine.mount_options:
        return ok("not set: memory.events count the whole subtree")
    kept = {"nsdelegate", "memory_recursiveprot"} & machine.mount_options
    options = ",".join(["remount", "rw", *sorted(kept)])
    return warning(
        "set: memory.events leave out what happens in child cgroups",
        f"mount -o {options} none {shlex.quote(str(machine.hierarchy.directory))}",
    )


def option(name: str, when: str, unless: str) -> Callable[[Machine], Finding]:
    """Return a check of a mount option with which, and without which, all works."""

    def look(machine: Machine) -> Finding:
        return ok(f"set: {when}" if name in machine.mount_options else f"not set: {unless}")

    return look


def pids(machine: Machine) -> Finding:
    """A new process counts for our own cgroup and all above it until it has moved to another."""
    room, place = float("inf"), ""
    node = machine.hierarchy.at(machine.own_cgroup)
    while node.parent:
        texts = [node.controller.get_property(f) for f in (b"pids.max", b"pids.current")]
        if texts[0] not in (None, "max"):
            left = int(texts[0] or 0) - int(texts[1] or 0)
            if left < room:
                room, place = left, str(node.directory)
        node = node.parent
    if not place:
        return ok("no limit")
    if room < _FEW:
        file = quoted(f"{place}/pids.max")
        return warning(f"{place} has room for {room} more processes", f"echo max >{file}")
    return ok(f"{place} has room for {room} more processes")


CHECKS = (
    Check("cgroup v2", mount, needed=True),
    Check("cgroupfs", writable, needed=True, after="cgroup v2"),
    Check("memory controller", memory, needed=True, after="cgroup v2"),
    Check("subtree_control", children, needed=True, after="memory controller"),
    Check("own cgroup", own, after="memory controller"),
    Check("delegation", delegation, after="cgroup v2"),
    Check("memory_localevents", localevents, after="cgroup v2"),
    Check(
        "memory_recursiveprot",
        option(
            "memory_recursiveprot",
            "memory.min and memory.low reach down the tree",
            "each cgroup needs its own memory.min and memory.low",
        ),
        after="cgroup v2",
    ),
    Check(
        "nsdelegate",
        option(
            "nsdelegate",
            "cgroup namespaces are borders of delegation",
            "cgroup namespaces are no borders",
        ),
        after="cgroup v2",
    ),
    Check("pids.max", pids, after="cgroup v2"),
)
