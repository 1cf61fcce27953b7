"""The plan of one experiment: cgroups, what is written to them, hogs and the call; all literal.

Pure. `--dry-run` prints a plan, everything else executes it, so that the two cannot differ.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from oomctl.errors import UsageError
from oomctl.units import format_size, parse_size

WAIT_ON_OOM_LOCK = 1
"""BPF_OOM_FLAGS_WAIT_ON_OOM_LOCK, bit 0 and the only valid one (v3 of the kfunc's series)."""

UINT64_MAX = 2**64 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

_NAME = re.compile(r"[A-Za-z0-9_-]{1,15}", re.ASCII)  # a comm (15 bytes) and a directory
DEFAULT_HOGS = ("small=16M", "medium=32M", "large=64M")
MAX_HOGS = 4096


@dataclass(frozen=True)
class Hog:
    """One memory hog: its comm, bytes of anonymous memory, oom_score_adj and cgroup."""

    name: str
    size: int
    oom_score_adj: int = 0
    cgroup: str = ""


@dataclass(frozen=True)
class Setting:
    """One interface file to be written: `cgroup` is a path inside the hierarchy."""

    cgroup: str
    file: str
    value: str

    optional: bool = False
    """Written only where the kernel has the file (memory.swap.max without CONFIG_SWAP)."""


@dataclass(frozen=True)
class Call:
    """One declaration: the target's path inside the hierarchy, None for the whole system."""

    target: str | None
    order: int
    flags: int


@dataclass(frozen=True)
class Plan:
    """An experiment; `cgroups` and `settings` are in the order in which they are made."""

    cgroups: tuple[str, ...]
    settings: tuple[Setting, ...]
    hogs: tuple[Hog, ...]
    call: Call
    repeat: int = 1
    timeout: float = 30.0
    keep: bool = False

    back_to_back: bool = False
    """Repeat without waiting for the victims, so that a call may meet one in flight."""


@dataclass(frozen=True)
class Limits:
    """What a fresh target is given: bytes, or None for the kernel's default."""

    memory_max: int | None = None
    swap_max: int = 0
    oom_group: bool = False


def flags_of(wait: bool | None, raw: int | None, target_is_global: bool) -> int:
    """Return the flags to pass: `--flags` as it is, else waiting as the kfunc's text advises.

    The advice (v2 and v3 of the series): wait for a memcg, do not wait for a system-wide OOM.
    """
    if raw is not None:
        return raw
    if wait is None:
        wait = not target_is_global
    return WAIT_ON_OOM_LOCK if wait else 0


def parse_hog(text: str) -> Hog:
    """Parse `[NAME=]SIZE[,adj=N]`; UsageError with what to write."""
    head, *rest = text.split(",")
    name, _, size = head.rpartition("=")
    if "=" in head and not _NAME.fullmatch(name):
        raise UsageError(
            f"--hog {text!r}: {name!r} cannot name a hog",
            "use 1 to 15 letters, digits, '_' or '-' (the kernel's comm holds 15)",
        )
    try:
        hog = Hog(name, parse_size(size))
    except ValueError as error:
        raise UsageError(f"--hog {text!r}: {error}") from None
    for part in rest:
        key, _, value = part.partition("=")
        if key != "adj" or not re.fullmatch(r"[+-]?[0-9]{1,4}", value, re.ASCII):
            raise UsageError(f"--hog {text!r}: {part!r} is not adj=N", "write [NAME=]SIZE[,adj=N]")
        adj = int(value)
        if not -1000 <= adj <= 1000:
            raise UsageError(
                f"--hog {text!r}: adj {adj} is out of range", "it goes from -1000 to 1000"
            )
        hog = replace(hog, oom_score_adj=adj)
    if len(rest) > 1:
        raise UsageError(f"--hog {text!r}: adj is given twice", "write [NAME=]SIZE[,adj=N]")
    return hog


def plan_hogs(given: Sequence[Hog], count: int | None, size: int | None) -> tuple[Hog, ...]:
    """Combine `--hog` with `--hogs N --size SIZE`, and give every hog a name of its own."""
    if count is None and size is not None:
        raise UsageError("--size needs --hogs N", "say how many hogs of that size")
    if count is not None and not 0 <= count <= MAX_HOGS:
        raise UsageError(f"--hogs {count} is out of range", f"it goes from 0 to {MAX_HOGS}")
    if count is None and not given:
        return tuple(parse_hog(text) for text in DEFAULT_HOGS)
    hogs = list(given)
    if count:
        if size is None:
            size = parse_size("32M")
        hogs += [Hog("", size)] * count
    named = tuple(
        replace(hog, name=hog.name or f"hog-{number}") for number, hog in enumerate(hogs, 1)
    )
    seen: set[str] = set()
    for hog in named:
        if hog.name in seen:
            raise UsageError(f"two hogs are named '{hog.name}'", "give each a name of its own")
        seen.add(hog.name)
    return named


class TreePlan(NamedTuple):
    """The part of a plan that is on disk: cgroups and settings in order, hogs with their places."""

    cgroups: tuple[str, ...]
    settings: tuple[Setting, ...]
    hogs: tuple[Hog, ...]


NO_TREE = TreePlan((), (), ())


def fresh_tree(name: str, hogs: Sequence[Hog], limits: Limits) -> TreePlan:
    """Plan a cgroup of our own with one leaf for each hog.

    Each hog has a leaf because the kernel charges cgroups, not tasks: the leaf's memory.current is
    then what the kernel charged for that hog. The target itself holds no process.
    """
    wanted = sum(hog.size for hog in hogs)
    if limits.memory_max is not None and wanted and wanted >= limits.memory_max:
        raise UsageError(
            f"the hogs want {format_size(wanted)} but --memory-max is "
            f"{format_size(limits.memory_max)}",
            "the limit would kill them before the declaration; raise it or shrink them",
        )
    target = f"/{name}"
    settings = [Setting("/", "cgroup.subtree_control", "+memory")]
    if limits.memory_max is not None:
        settings.append(Setting(target, "memory.max", str(limits.memory_max)))
    settings.append(Setting(target, "memory.swap.max", str(limits.swap_max), optional=True))
    if limits.oom_group:
        settings.append(Setting(target, "memory.oom.group", "1"))
    if hogs:
        settings.append(Setting(target, "cgroup.subtree_control", "+memory"))
    placed = place(target, hogs)
    return TreePlan((target, *(hog.cgroup for hog in placed)), tuple(settings), placed)


def borrowed_tree(
    target: str, name: str, hogs: Sequence[Hog], children_get: Collection[str]
) -> TreePlan:
    """Plan hogs inside an existing cgroup, without changing any setting of it.

    `children_get` is its cgroup.subtree_control. A cgroup that gives controllers to its children
    may not hold processes itself, so hogs get leaves below it; else they join it as they are.
    """
    if not hogs:
        return NO_TREE
    if not children_get:
        return TreePlan((), (), tuple(replace(hog, cgroup=target) for hog in hogs))
    parent = f"{target.rstrip('/')}/{name}"
    settings: tuple[Setting, ...] = ()
    if "memory" in children_get:
        settings = (Setting(parent, "cgroup.subtree_control", "+memory"),)
    placed = place(parent, hogs)
    return TreePlan((parent, *(hog.cgroup for hog in placed)), settings, placed)


def place(parent: str, hogs: Sequence[Hog]) -> tuple[Hog, ...]:
    """Give each hog a leaf of its own name below `parent`."""
    return tuple(replace(hog, cgroup=f"{parent}/{hog.name}") for hog in hogs)


def describe(plan: Plan) -> list[str]:
    """Return the steps of a plan as `--dry-run` prints them, one a line."""
    lines = [_written(s) for s in plan.settings if s.cgroup not in plan.cgroups]
    for cgroup in plan.cgroups:
        lines.append(f"mkdir   {cgroup}")
        lines += [_written(s) for s in plan.settings if s.cgroup == cgroup]
    lines += [
        f"hog     {hog.name}: {format_size(hog.size)} of anonymous memory in {hog.cgroup}, "
        f"oom_score_adj {hog.oom_score_adj}"
        for hog in plan.hogs
    ]
    memcg = "NULL" if plan.call.target is None else f"memcg of {plan.call.target}"
    times = f", {plan.repeat} times" if plan.repeat > 1 else ""
    lines.append(
        f"call    bpf_out_of_memory({memcg}, order={plan.call.order}, "
        f"flags={flag_names(plan.call.flags)}){times}"
    )
    if plan.cgroups or plan.hogs:
        lines.append("keep    hogs and cgroups" if plan.keep else "remove  hogs and cgroups")
    return lines


def _written(setting: Setting) -> str:
    return f"write   {setting.cgroup.rstrip('/')}/{setting.file} = {setting.value}" + (
        " (if the kernel has it)" if setting.optional else ""
    )


def flag_names(flags: int) -> str:
    """Render flags by name: `0`, `WAIT_ON_OOM_LOCK`, with unknown bits in hexadecimal."""
    names = ["WAIT_ON_OOM_LOCK"] if flags & WAIT_ON_OOM_LOCK else []
    if rest := flags & ~WAIT_ON_OOM_LOCK:
        names.append(hex(rest))
    return "|".join(names) or "0"
