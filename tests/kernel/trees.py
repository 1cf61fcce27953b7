"""Random trees to hold prediction and kernel against each other; tree N is always the same."""

import random
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from oomctl.oom.paths import is_within
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog, HogKind, Plan, Setting, Step, Sysctl

TOP = "/oomctl-predicted"
K, M = 1 << 10, 1 << 20
_PAGE, _HUGE_PAGE = 4 * K, 2 * M
_SEED = 441  # the first 15 trees from here have everything (tests/unit/test_trees.py)
_TIMEOUT = 120.0  # an emulated guest on a busy machine is slow to fill
_LIBRARY = Path(
    sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or ""
)
_MORE: dict[str, Any] = {"threads": (2, 5), "forker": (1, 4)}


@dataclass(frozen=True)
class Tree:
    """One random experiment; `reclaim` are the bytes to ask of the target before the call."""

    number: int
    plan: Plan
    swap: bool = False
    """Whether it wants a swap device."""
    reclaim: int = 0

    @property
    def call(self) -> Call:
        """The one call of its plan."""
        return self.plan.steps[0].call

    @property
    def target(self) -> str:
        """The cgroup that is out of memory."""
        return self.call.target or ""

    @property
    def groups(self) -> set[str]:
        """The cgroups with memory.oom.group."""
        return {each.cgroup for each in self.plan.settings if each.file == "memory.oom.group"}


@dataclass(frozen=True)
class _Shape:
    """Paths below TOP, which is "": parents before children.

    Below `plain` the memory controller is not enabled, so that processes may live in it and in all
    that is below it.
    """

    nodes: Sequence[str]
    plain: str | None

    @property
    def given(self) -> list[str]:
        """Those with the memory controller."""
        return [node for node in self.nodes if self.plain is None or not _below(node, self.plain)]

    @property
    def inner(self) -> list[str]:
        """Those that enable it for their children, and so may hold no process."""
        parents = {node.rpartition("/")[0] for node in self.nodes if node}
        return [node for node in self.given if node in parents and node != self.plain]

    @property
    def places(self) -> list[str]:
        """Those that may hold processes."""
        return [node for node in self.nodes if node not in self.inner]


def _below(node: str, other: str) -> bool:
    return node != other and is_within(node, other)


def random_tree(number: int) -> Tree:
    """Return tree `number`."""
    dice = random.Random(_SEED + number)
    small = dice.random() < 0.15  # a limit below 1000 pages, where adj weighs nothing
    swap = dice.random() < 0.25
    shape = _random_shape(dice)
    hogs = _random_hogs(dice, shape, small)
    target = _random_target(dice, shape, hogs)
    by_limit = not (small or swap) and dice.random() < 0.12
    wanted = sum(hog.size for hog in hogs)
    settings = list(_random_settings(dice, shape, target, wanted, small, swap))
    amount = dice.choice([None, wanted // 3 + M]) if by_limit else None
    call = Call(f"{TOP}{target}", 0, WAIT_ON_OOM_LOCK, "limit" if by_limit else "bpf", amount)
    plan = plan_of(
        hogs,
        settings,
        nodes=shape.nodes,
        enabled=shape.inner,
        call=call,
        sysctls=_random_sysctls(dice, hogs, swap),
    )
    reclaim = dice.choice([0, wanted // 4, wanted // 2, wanted]) if swap else 0
    return Tree(number, plan, swap, reclaim)


def plan_of(
    hogs: Sequence[Hog],
    settings: Sequence[tuple[str, str, object]],
    *,
    nodes: Sequence[str],
    enabled: Sequence[str],
    call: Call,
    sysctls: Sequence[Sysctl] = (),
) -> Plan:
    """Plan TOP and what is below it; cgroups but for the call's are paths below TOP."""
    controller = ("cgroup.subtree_control", "+memory")
    written = [Setting("/", *controller)]
    written += [Setting(f"{TOP}{node}", file, str(value)) for node, file, value in settings]
    written += [Setting(f"{TOP}{node}", *controller) for node in enabled]
    placed = tuple(
        replace(
            hog, cgroup=f"{TOP}{hog.cgroup}", sharer=f"{TOP}{hog.sharer}" * (hog.kind == "shared")
        )
        for hog in hogs
    )
    return Plan(
        tuple(f"{TOP}{node}" for node in nodes),
        tuple(written),
        placed,
        (Step(call),),
        TOP,
        tuple(sysctls),
        timeout=_TIMEOUT,
    )


def _random_shape(dice: random.Random) -> _Shape:
    """Nest cgroups up to seven deep, some of them in a chain."""
    branches = [""]
    for depth in range(dice.randint(0, 5)):
        branches.append(f"{dice.choice(branches[-3:])}/branch{depth}")
    leaves = [f"{dice.choice(branches)}/leaf{i}" for i in range(dice.randint(1, 6))]
    plain = dice.choice(branches[1:]) if len(branches) > 1 and dice.random() < 0.25 else None
    return _Shape([*branches, *leaves], plain)


def _random_hogs(dice: random.Random, shape: _Shape, small: bool) -> list[Hog]:
    sizes = [_random_size(dice, small) for _ in range(dice.randint(1, 4))]
    alike = dice.random() < 0.5  # many of one size
    hogs: list[Hog] = []
    for i in range(dice.randint(0 if dice.random() < 0.1 else 1, 4 if small else 9)):
        size = dice.choice(sizes) if alike else _random_size(dice, small)
        hog = Hog(f"hog{i}", size, _random_adj(dice), dice.choice(shape.places))
        if hogs and dice.random() < 0.3:  # a tie
            other = dice.choice(hogs)
            hog = replace(other, name=hog.name, cgroup=hog.cgroup)
        elif dice.random() < 0.6:
            hog = _of_random_kind(dice, hog, shape.places)
        hogs.append(hog)
    return hogs


def _random_size(dice: random.Random, small: bool) -> int:
    if small:
        return dice.randrange(0, 200 * K, _PAGE)
    return int(2 ** dice.uniform(0, 12.3)) * _PAGE  # up to 20 MiB


def _random_adj(dice: random.Random) -> int:
    if dice.random() < 0.5:
        return 0
    return dice.choice([-1000, -999, -1, 1, 1000, dice.randint(-999, -1), dice.randint(-999, 1000)])


def _of_random_kind(dice: random.Random, hog: Hog, places: Sequence[str]) -> Hog:
    kind = dice.choice(get_args(HogKind))
    tasks = dice.randint(*_MORE.get(kind, (1, 1)))
    size, path = hog.size, ""
    if kind == "hugetlb":
        size = dice.randint(0, 2) * _HUGE_PAGE
    elif kind in ("slab", "pipe", "socket", "file"):  # no part of badness
        size = min(size, 2 * M)
    if kind == "file" and _LIBRARY.is_file() and dice.random() < 0.5:
        path = str(_LIBRARY)
    return replace(
        hog,
        kind=kind,
        size=size,
        path=path,
        tasks=tasks,
        sharer=dice.choice(places) if kind == "shared" else "",
        hold=dice.choice([0.0, 0.3, 2.5]) if kind == "traced" else 0.0,
    )


def _random_target(dice: random.Random, shape: _Shape, hogs: Sequence[Hog]) -> str:
    """Return a cgroup that has the controller, mostly one with a hog or a sharer below it."""
    lived_in = [place for hog in hogs for place in (hog.cgroup, hog.sharer) if place]
    if not lived_in or dice.random() < 0.1:
        return dice.choice(shape.given)
    some = dice.choice(lived_in)
    return dice.choice([node for node in shape.given if some == node or _below(some, node)])


def _random_settings(
    dice: random.Random, shape: _Shape, target: str, wanted: int, small: bool, swap: bool
) -> Iterator[tuple[str, str, object]]:
    for node in shape.given:
        if dice.random() < 0.3:
            yield node, "memory.oom.group", 1
        if small and node == target:
            yield node, "memory.max", 3900 * K
        elif not small and dice.random() < 0.4:
            # threads and children need stacks and page tables of their own
            yield node, "memory.max", wanted * 3 // 2 + dice.randint(32, 512) * M
        if swap and dice.random() < 0.3:
            yield node, "memory.swap.max", dice.choice([0, M, 32 * M, 1024 * M])


def _random_sysctls(dice: random.Random, hogs: Sequence[Hog], swap: bool) -> list[Sysctl]:
    huge = sum(hog.size // _HUGE_PAGE for hog in hogs if hog.kind == "hugetlb")
    found = [Sysctl("vm.nr_hugepages", str(huge))] if huge else []
    if swap and dice.random() < 0.15:
        found.append(Sysctl("vm.swappiness", "0"))
    return found
