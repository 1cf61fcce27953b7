"""Where cgroup v2 is mounted, which cgroup a user's path means, and whether it can be a target."""

import os
import re
import shlex
from pathlib import Path

from oomctl import commandline
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import UnsupportedError, UsageError

USUAL_MOUNT = Path("/sys/fs/cgroup")
THREADED, INVALID, THREADED_DOMAIN = "threaded", "domain invalid", "domain threaded"
"""Values of cgroup.type other than `domain` (Documentation/admin-guide/cgroup-v2.rst, Threads)."""
_MOUNTS = Path("/proc/self/mounts")
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


def mounts(fstype: str) -> list[tuple[Path, frozenset[str]]]:
    """Return the mounts of a file system type: each folder and its options."""
    # not psutil's: it fails if any mount of the machine has an option that is not UTF-8
    rows = (line.split(b" ") for line in _MOUNTS.read_bytes().split(b"\n"))
    return [
        (Path(path), frozenset(os.fsdecode(row[3]).split(",")))
        for row in rows
        if len(row) > 3 and os.fsdecode(row[2]) == fstype
        if "\0"
        not in (path := _path(row[1]))  # never from the kernel, and Python refuses such a path
    ]


def _path(field: bytes) -> str:
    """Undo the escapes of blanks and the like, such as \\040 (fs/proc_namespace.c, mangle())."""
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def unified_root() -> UnifiedNode:
    """Return the root of the cgroup v2 hierarchy; UnsupportedError if it is not mounted."""
    found = mounts("cgroup2")
    if not found:
        raise UnsupportedError(
            "no cgroup v2 hierarchy is mounted",
            f"run `mount -t cgroup2 none {USUAL_MOUNT}`, or use {commandline.in_lab()}",
        )
    return UnifiedNode(str(found[0][0]))


def require_memory(root: UnifiedNode) -> None:
    """Raise UnsupportedError, with the cause, if the memory controller is not available on v2."""
    if "memory" in (root.controller.controllers or ()):
        return
    for path, options in mounts("cgroup"):
        if "memory" in options:
            raise UnsupportedError(
                f"the memory controller is bound to cgroup v1 at {path} on this machine (hybrid)",
                f"boot it with `cgroup_no_v1=all`, or use {commandline.in_lab()}",
            )
    raise UnsupportedError(
        f"the cgroup v2 hierarchy at {root.directory} does not offer the memory controller",
        "boot with `cgroup_enable=memory`, or in a container delegate the controller to it",
    )


def require_target(node: UnifiedNode, prefix: str = "") -> None:
    """Raise UnsupportedError unless a cgroup has a memory controller that OOM can be declared on.

    `prefix` begins the text of the error. A threaded cgroup never has one: its memory is charged to
    its domain (kernel/cgroup/cgroup.c, cgroup_control()). If the whole hierarchy does not offer the
    controller (see `require_memory()`), only cgroup.type is checked.
    """
    kind = node.controller.cgroup_type
    if kind in (THREADED, INVALID):
        domain = _domain(node)
        raise UnsupportedError(
            f"{prefix}{node.directory} has the cgroup.type '{kind}', and so no memory controller",
            f"name {domain.directory}, the domain of its threads"
            if domain
            else "name a cgroup whose cgroup.type is 'domain'",
        )
    top = node
    while top.parent:
        top = top.parent
    if node.controller.memory_current is None and "memory" in (top.controller.controllers or ()):
        raise UnsupportedError(f"{prefix}{node.directory} has no memory controller", enabling(node))


def children_get(node: UnifiedNode) -> frozenset[str]:
    """Return the controllers that the children of a cgroup get; none if it may hold processes.

    A threaded domain holds processes itself; a child takes none before it is threaded.
    """
    if node.controller.cgroup_type == THREADED_DOMAIN:
        return frozenset()
    return node.controller.subtree_control or frozenset()


def _domain(node: UnifiedNode) -> UnifiedNode | None:
    """Return the cgroup that a threaded cgroup is charged to; None if that is the root."""
    while node.parent and node.controller.cgroup_type in (THREADED, INVALID):
        node = node.parent
    return node if node.parent else None


def enabling(node: UnifiedNode) -> str:
    """Return how a cgroup gets the memory controller: which cgroups above it must enable it."""
    above: list[UnifiedNode] = []
    holder = node.parent
    while holder and "memory" not in (holder.controller.subtree_control or ()):
        above.insert(0, holder)
        holder = holder.parent
    if not above:
        return "check that it still exists"
    name = f"name {above[0].directory}" if above[0].parent else "name another"
    busy = [each for each in above if each.parent and each.controller.procs]
    if busy:  # cgroup-v2.rst, No Internal Process Constraint
        return (
            f"processes live in {busy[0].directory} itself, so it cannot enable controllers; {name}"
        )
    files = " ".join(shlex.quote(f"{each.directory}/cgroup.subtree_control") for each in above)
    return f"run `echo +memory | tee {files}`" + (f", or {name}" if above[0].parent else "")


def find_cgroup(root: UnifiedNode, text: str, option: str = "--cgroup") -> UnifiedNode:
    """Return the existing cgroup that a user means by a path.

    `text` is a directory below the mount, or a path inside the hierarchy as in /proc/PID/cgroup;
    `option` is the option that gave it. Symbolic links and `..` are resolved first. Raises
    UsageError for the root, for other directories, and for a path that does not exist.
    """
    if not text or "\0" in text:
        raise UsageError(
            f"{option}: the path is empty or has a NUL byte", "name a cgroup v2 directory"
        )
    mount = root.directory.resolve()
    found = [path for path in map(_resolve, (Path(text), mount / text.lstrip("/"))) if path]
    for path in found:
        if path == mount:
            raise UsageError(
                f"{option} {text}: the root cgroup cannot be a target: the kernel cannot scan it",
                "name a cgroup below it, or use --global",
            )
        if path.is_relative_to(mount) and path.is_dir() and _device(path) == _device(mount):
            return root.at(str(path.relative_to(mount)))
    if found:
        raise _foreign(f"{option} {text}", found[0], mount)
    raise UsageError(
        f"{option} {text}: no such cgroup below {mount}",
        f"`ls {shlex.quote(str(mount))}` shows the first level",
    )


def _resolve(path: Path) -> Path | None:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of symbolic links
        return None


def _device(path: Path) -> int:
    return path.stat().st_dev


def _foreign(given: str, path: Path, mount: Path) -> UsageError:
    hint = f"name a directory below {mount}"
    if any(path.is_relative_to(v1) for v1, _options in mounts("cgroup")):
        return UsageError(
            f"{given}: that is a cgroup v1 path; the kfunc's target is a v2 cgroup", hint
        )
    return UsageError(f"{given}: {path} is not a cgroup v2 directory", hint)
