"""The existing cgroup below which trees are made, as `--parent` names it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oomctl import commandline, console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.owned import JournaledCgroup
from oomctl.errors import UnsupportedError
from oomctl.files.kernelfile import KernelFileError
from oomctl.journal.file import Journal
from oomctl.proc import procfs

SELF = "self"
"""oomctl's own cgroup, such as the scope that systemd-run has made for it."""


def find_parent(root: UnifiedNode, text: str) -> UnifiedNode:
    """Return the cgroup that a user means by `--parent`: `/`, `self`, or a path.

    Raises UsageError if it is not a cgroup v2, UnsupportedError if its children cannot have the
    memory controller.
    """
    if text == "/":
        return root
    if text == SELF:
        node = root.at(procfs.unified_path(Path("/proc/self/cgroup").read_bytes()))
        if not node.parent:
            raise UnsupportedError(
                "--parent self: oomctl runs in the root cgroup", f"run {commandline.in_scope()}"
            )
    else:
        node = hierarchy.find_cgroup(root, text, option="--parent")
    require_children(node, f"--parent {text}: ")
    return node


def require_children(node: UnifiedNode, prefix: str = "") -> None:
    """Raise UnsupportedError unless the children of a cgroup can have the memory controller.

    `prefix` begins the text of the error.
    """
    kind = node.controller.cgroup_type
    if kind not in (None, "domain"):
        raise UnsupportedError(
            f"{prefix}{node.directory} has the cgroup.type '{kind}': its children get no "
            "memory controller",
            f"name a cgroup whose cgroup.type is 'domain', or run {commandline.in_scope()}",
        )
    if "memory" not in (node.controller.controllers or ()):
        raise UnsupportedError(
            f"{prefix}{node.directory} does not have the memory controller",
            f"{hierarchy.enabling(node)}, or run {commandline.in_scope()}",
        )
    others = [pid for pid in node.controller.procs or () if pid != os.getpid()]
    if others and "memory" not in (node.controller.subtree_control or ()):
        pids = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        raise UnsupportedError(
            f"{prefix}processes live in {node.directory} itself ({pids}), and the kernel "
            "enables controllers only for the children of a cgroup without processes",
            f"move them into a child of it, or run {commandline.in_scope()}",
        )


@contextmanager
def in_leaf_cgroup(parent: UnifiedNode, journal: Journal) -> Iterator[None]:
    """Move oomctl into a leaf cgroup for the time of the block, if it lives in `parent` itself.

    At the end it moves back, and the leaf is removed.
    """
    if not parent.parent or os.getpid() not in (parent.controller.procs or ()):
        yield
        return
    leaf = JournaledCgroup.make(
        parent, f"oomctl-self-{os.getpid()}-{secrets.token_hex(3)}", journal
    )
    try:
        leaf.node.controller.set_property(b"cgroup.procs", 0)
        console.detail(f"moved itself to {leaf.node.directory}")
        yield
    finally:
        if _move_back(parent, leaf):
            leaf.remove()
            journal.forget(*leaf.entries)


def _move_back(parent: UnifiedNode, leaf: JournaledCgroup) -> bool:
    """Disable the controllers that keep the parent from holding processes, then move to it."""
    enabled = parent.controller.subtree_control or frozenset()
    try:
        parent.controller.subtree_control = frozenset()
        parent.controller.set_property(b"cgroup.procs", 0)
    except KernelFileError as error:
        parent.controller.subtree_control = enabled
        console.note(f"oomctl stays in {leaf.node.directory}: {error}")
        return False
    return True
