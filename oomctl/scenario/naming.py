"""Names that a scenario can hold for the cgroups and tasks of a machine. Pure."""

import re
from collections.abc import Iterable, Mapping, Set

from oomctl.oom.subtree import TOP as SUBTREE_TOP
from oomctl.scenario import patterns
from oomctl.scenario.fault import FieldError
from oomctl.scenario.names import TOP, cgroup_name, join
from oomctl.text import printable

_NOT_OF_A_HOG = re.compile("[^A-Za-z0-9_-]+")
_COMM = re.compile(patterns.COMM)
_LONGEST = 15


def cgroup_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the scenario's path for each path of a subtree, parents first.

    A name that a scenario cannot hold becomes `cgroup-N`. Cgroups that are nested too deeply for a
    scenario become their ancestor.
    """
    found = {SUBTREE_TOP: TOP}
    for path in paths:
        if path == SUBTREE_TOP:
            continue
        above, _, name = path.rpartition("/")
        place = found[above or SUBTREE_TOP]
        plain = unused("cgroup", {each.rpartition("/")[2] for each in found.values()})
        choices = [join(place, name), join(place, plain), place]
        found[path] = next((each for each in choices if _holds(each)), TOP)
    return found


def _holds(path: str) -> bool:
    """Tell whether a scenario can hold this cgroup and a leaf below it."""
    try:
        return cgroup_name(join(path, "tasks")).isprintable()
    except FieldError:
        return False


def hog_names(comms: Mapping[int, str]) -> dict[int, str]:
    """Return a hog's name for each PID: its comm as far as a hog can have it, and a number."""
    found: dict[int, str] = {}
    taken: set[str] = set()
    for pid, comm in comms.items():
        name = _NOT_OF_A_HOG.sub("-", comm).strip("-")[:_LONGEST] or "task"
        found[pid] = unused(name, taken)
        taken.add(found[pid])
    return found


def unused(name: str, taken: Set[str]) -> str:
    """Return a name that is not taken, with a number at its end if need be: at most 15 letters."""
    numbered, number = name, 1
    while numbered in taken:
        number += 1
        numbered = f"{name[: _LONGEST - len(str(number)) - 1]}-{number}"
    return numbered


def comm_key(comm: str, name: str) -> str:
    """Return what to write as a hog's comm; empty if its name is enough, or if it cannot be had."""
    return comm if comm != name and _COMM.fullmatch(comm) else ""


def shown_name(path: str) -> str:
    """Return the name of a cgroup for a comment."""
    return printable(path.rpartition("/")[2]) or "/"
