"""Names of hogs, tasks, cgroups and sysctls, and paths inside a scenario's tree. Pure."""

import re
from collections.abc import Iterator, Mapping

from oomctl.oom.paths import is_within
from oomctl.scenario import patterns
from oomctl.scenario.fault import FieldError, shown
from oomctl.scenario.values import text

_HOG = re.compile(patterns.HOG)
_COMM = re.compile(patterns.COMM)
_INTERFACE = re.compile(patterns.INTERFACE)
_ABSOLUTE = re.compile(patterns.ABSOLUTE)
_MOUNTED = re.compile(patterns.MOUNTED)
_SYSFS = re.compile(patterns.SYSFS)
_SYSCTL_PART = re.compile(patterns.SYSCTL_PART)
_SYSCTL_VALUE = re.compile(patterns.WORDS)
_NAME_MAX = 255
_LONGEST = 3000
"""Bytes of a path below the top, so that the whole path stays below PATH_MAX."""

LONGEST = 200
"""Characters of a sysctl's value, or of its whole name."""

TOP = "."
"""The top cgroup of a scenario; all others are below it."""


def hog_name(name: str) -> str:
    """Check the name of a hog, which names its task and its directory."""
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
    r"""Check the path of a cgroup of the scenario: `.` is the top, the others are below it.

    Its parts may be anything that the kernel takes (kernel/cgroup/cgroup.c, cgroup_mkdir()), such
    as systemd's `a\x2db.slice`, except names of interface files.
    """
    if name == TOP:
        return name
    parts = name.split("/")
    named = [part for part in parts if part not in ("", TOP)]
    if named and named != parts and ".." not in named:
        raise FieldError(
            f"{shown(name)} is not a path below the top", f"write {shown('/'.join(named))}"
        )
    for part in parts:
        if part in ("", TOP, "..") or "\0" in part or "\n" in part:
            raise FieldError(
                f"{shown(name)} cannot name a cgroup",
                "'.' is the top; else write names with '/' in between, without '..' and newlines",
            )
        if _bytes(part) > _NAME_MAX:
            raise FieldError(f"{shown(part)} is too long for a name", f"{_NAME_MAX} bytes at most")
        if _INTERFACE.match(part):
            raise FieldError(
                f"{shown(name)} would be taken for an interface file", "choose another name"
            )
    if len(parts) > patterns.DEPTH:
        raise FieldError(
            f"{len(parts)} cgroups inside each other are too many", f"{patterns.DEPTH} at most"
        )
    if _bytes(name) > _LONGEST:
        raise FieldError(f"{shown(name)} is too long for a path", f"{_LONGEST} bytes at most")
    return name


def absolute(value: object) -> str:
    """Parse a path that begins with a slash and has no `..`."""
    path = text(value)
    if not _ABSOLUTE.fullmatch(path):
        raise FieldError(f"{shown(value)} is not an absolute path", "begin with '/', without '..'")
    return "/" + "/".join(part for part in path.split("/") if part)


def existing_cgroup(value: object) -> str:
    """Parse the path of an existing cgroup, relative to the hierarchy's root."""
    path = absolute(value)
    if _MOUNTED.match(path):
        raise FieldError(
            f"{shown(value)} is a path of the file system",
            "write it as in /proc/PID/cgroup, relative to the hierarchy's root",
        )
    return path


def target(value: object) -> str:
    """Parse the target of a call: a cgroup of the scenario, or the path of an existing one."""
    path = text(value)
    if path.startswith("/") and (path := existing_cgroup(path)) == "/":
        raise FieldError(
            "the root cgroup cannot be a target: the kernel cannot scan it",
            "name a cgroup below it, or write global = true",
        )
    return path


def down_to(cgroup: str) -> list[str]:
    """Return the cgroups from the top down to this one; without the top unless it is this one."""
    parts = cgroup.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def parent(cgroup: str) -> str:
    """Return the cgroup that another one is in; the top is in itself."""
    return cgroup.rpartition("/")[0] if "/" in cgroup else TOP


def above(cgroup: str) -> Iterator[str]:
    """Yield the cgroups that another one is in, the nearest first and the top last."""
    while cgroup != TOP:
        cgroup = parent(cgroup)
        yield cgroup


def join(cgroup: str, name: str) -> str:
    """Return the path of a child."""
    return name if cgroup == TOP else f"{cgroup}/{name}"


def within(cgroup: str, above: str) -> bool:
    """Tell whether a cgroup is another one, or below it."""
    return above == TOP or is_within(cgroup, above)


def cgroup(value: object) -> str:
    """Parse the path of a cgroup of the scenario."""
    return cgroup_name(text(value))


def sysfs_file(name: str) -> str:
    """Check the path of a switch of the kernel's memory management."""
    if not _SYSFS.fullmatch(name):
        hint = "write such as '/sys/kernel/mm/lru_gen/enabled'"
        raise FieldError(f"{shown(name)} is not a file below /sys/kernel/mm", hint)
    return name


def sysctls(value: object) -> dict[str, str]:
    """Parse a table of sysctls, nested or by quoted names, into values by name."""
    if not isinstance(value, Mapping):
        raise FieldError(f"{shown(value)} is not a table", "write such as vm.swappiness = 0")
    found: dict[str, str] = {}
    for name, setting in _flat((), value):
        if name in found:
            raise FieldError(f"{name} is given twice", "keep one of them")
        found[name] = setting
    return found


def _flat(above: tuple[str, ...], table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        path = (*above, *key.split("."))
        name = ".".join(path)
        valid = all(map(_SYSCTL_PART.fullmatch, path)) and len(name) <= LONGEST
        if not valid or (len(path) == 1 and not isinstance(value, Mapping)):
            raise FieldError(f"{shown(name)} is not a sysctl", "write such as vm.swappiness")
        if isinstance(value, Mapping):
            yield from _flat(path, value)
        else:
            yield name, kernel_value(value, f"{name}: ")


def kernel_value(value: object, name: str = "") -> str:
    """Parse what is written into a sysctl or a file of sysfs; `name` begins the fault."""
    string = str(value) if isinstance(value, int) and value.bit_length() <= 64 else value
    if isinstance(value, bool) or not isinstance(string, str) or len(string) > LONGEST:
        raise FieldError(f"{name}{shown(value)} is not a value", "write a whole number or a string")
    if not _SYSCTL_VALUE.fullmatch(string):
        raise FieldError(f"{name}{shown(string)} is not a value", "write words on one line")
    return string


def _bytes(name: str) -> int:
    return len(name.encode(errors="surrogatepass"))
