"""Where cgroup v2 is mounted here, and which cgroup a user's path means."""

import os
import re
import shlex
from pathlib import Path

from oomctl import commandline
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kernel.cgroups import UnifiedNode

USUAL_MOUNT = Path("/sys/fs/cgroup")
_MOUNTS = Path("/proc/self/mounts")
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


def mounts(fstype: str) -> list[tuple[Path, frozenset[str]]]:
    """Return the mounts of a type: each folder and its options."""
    # not psutil's: it fails where any mount of the machine has an option that is not UTF-8
    rows = (line.split(b" ") for line in _MOUNTS.read_bytes().split(b"\n"))
    return [
        (Path(path), frozenset(os.fsdecode(row[3]).split(",")))
        for row in rows
        if len(row) > 3 and os.fsdecode(row[2]) == fstype
        if "\0" not in (path := _path(row[1]))  # not the kernel's, and no path for Python
    ]


def _path(field: bytes) -> str:
    """Return a path as it is: blanks and the like are written as \\040 (fs/proc_namespace.c)."""
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def unified_root() -> UnifiedNode:
    """Return the root of the cgroup v2 hierarchy; UnsupportedError if none is mounted."""
    found = mounts("cgroup2")
    if not found:
        raise UnsupportedError(
            "no cgroup v2 hierarchy is mounted",
            f"run `mount -t cgroup2 none {USUAL_MOUNT}`, or use {commandline.in_lab()}",
        )
    return UnifiedNode(str(found[0][0]))


def require_memory(root: UnifiedNode) -> None:
    """Raise UnsupportedError, with the cause, unless the memory controller is to be had here."""
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


def require_controller(node: UnifiedNode) -> None:
    """Raise UnsupportedError, with what enables it, unless a cgroup has the memory controller."""
    if node.controller.memory_current is None:
        raise UnsupportedError(f"{node.directory} has no memory controller", enabling(node))


def enabling(node: UnifiedNode) -> str:
    """Return the command that gives a cgroup the memory controller, from the root down.

    Raises UnsupportedError where even the root has none to give.
    """
    commands: list[str] = []
    above: UnifiedNode | None = node.parent
    moved = ""
    while above and "memory" not in (above.controller.subtree_control or ()):
        file = shlex.quote(str(above.controller.file(b"cgroup.subtree_control")))
        commands.insert(0, f"echo +memory >{file}")
        if above.parent and above.controller.procs:  # the kernel says EBUSY then, but to the root
            moved = f"move the processes of {above.directory} into a child of it, then "
        above = above.parent
    if not commands:
        return "it is gone by now, or threaded: see its cgroup.type"
    root = node
    while root.parent:
        root = root.parent
    require_memory(root)
    return f"{moved}`{' && '.join(commands)}`"


def find_cgroup(root: UnifiedNode, text: str, option: str = "--cgroup") -> UnifiedNode:
    """Return the existing cgroup that a user means by a path.

    `text` is a directory below the mount, or a path inside the hierarchy as /proc/PID/cgroup shows
    it; `option` is where it was given. Symbolic links and `..` are resolved first. Raises
    UsageError for the root, for what is not a cgroup v2 directory, and for what does not exist.
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
