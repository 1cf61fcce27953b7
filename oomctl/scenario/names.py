"""What hogs, tasks and cgroups may be called. Pure."""

import re

from oomctl.scenario.values import FieldError, text
from oomctl.scenario.words import shown

_HOG = re.compile(r"[A-Za-z0-9_-]{1,15}", re.ASCII)
_COMM = re.compile(r"[ -~]{1,15}", re.ASCII)
_CGROUP = re.compile(r"[A-Za-z0-9_@:+-][A-Za-z0-9_.@:+-]{0,63}", re.ASCII)
_INTERFACE = re.compile(r"(cgroup|memory|pids|cpu|cpuset|io|hugetlb|rdma|misc|dmem|irq|debug)\.")
_DEPTH = 32

TOP = "."
"""The scenario's own cgroup, in which all others are."""


def hog_name(name: str) -> str:
    """Check the name of a hog: it is its comm and its directory."""
    if not _HOG.fullmatch(name):
        raise FieldError(
            f"{shown(name)} cannot name a hog",
            "use 1 to 15 letters, digits, '_' or '-' (the kernel's comm holds 15)",
        )
    return name


def comm(value: object) -> str:
    """Parse a task's name."""
    if not _COMM.fullmatch(name := text(value)):
        raise FieldError(
            f"{shown(name)} cannot be a comm", "write 1 to 15 printable ASCII characters"
        )
    return name


def cgroup_name(name: str) -> str:
    """Check the path of a cgroup of the scenario: `.` is the top, the others are below it."""
    if name == TOP:
        return name
    parts = name.split("/")
    sound = [part for part in parts if part not in ("", TOP)]
    if sound and sound != parts and ".." not in sound:
        raise FieldError(
            f"{shown(name)} is not a path below the top", f"write {shown('/'.join(sound))}"
        )
    for part in parts:
        if not _CGROUP.fullmatch(part):
            raise FieldError(
                f"{shown(name)} cannot name a cgroup",
                "'.' is the top; else use letters, digits and _ . @ : + -, with '/' in between",
            )
        if _INTERFACE.match(part):
            raise FieldError(
                f"{shown(name)} would be taken for an interface file", "call it otherwise"
            )
    if len(parts) > _DEPTH:
        raise FieldError(
            f"{len(parts)} cgroups inside each other are too many", f"{_DEPTH} at most"
        )
    return name


def absolute(value: object) -> str:
    """Parse a path that begins with a slash and has no `..`."""
    path = text(value)
    parts = path.split("/")
    if not path.startswith("/") or not path.isprintable() or {"..", "."} & set(parts):
        raise FieldError(f"{shown(value)} is not an absolute path", "begin with '/', without '..'")
    return "/" + "/".join(part for part in parts if part)


def existing_cgroup(value: object) -> str:
    """Parse the path of a cgroup that is not ours, inside the hierarchy."""
    path = absolute(value)
    if path == "/sys/fs/cgroup" or path.startswith("/sys/fs/cgroup/"):
        raise FieldError(
            f"{shown(value)} is a path of the file system",
            "write it as /proc/PID/cgroup does, from the hierarchy's root on",
        )
    return path


def target(value: object) -> str:
    """Parse what OOM is declared on: a cgroup of the scenario, or an existing one by its path."""
    path = text(value)
    if path.startswith("/") and (path := existing_cgroup(path)) == "/":
        raise FieldError(
            "the root cgroup cannot be a target: the kernel cannot scan it",
            "name a cgroup below it, or write global = true",
        )
    return path
