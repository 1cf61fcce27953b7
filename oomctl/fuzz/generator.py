"""Random cases: of the same dice and weights comes the same case. Pure."""

import random
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oomctl.fuzz.case import Case
from oomctl.fuzz.coverage import SWAPPABLE
from oomctl.fuzz.random_steps import with_steps
from oomctl.fuzz.weights import PAGE, SMALL_LIMIT, TASKS, K, M, Weights
from oomctl.oom.enums import Via
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Call, Hog, Step, Sysctl
from oomctl.scenario.names import TOP, join, parent, within

_HUGE_PAGE = 2 * M
_LIBRARY = Path(
    sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or ""
)


def random_case(dice: random.Random, weights: Weights) -> Case:
    """Return a case; the dice tell which."""
    small = dice.random() < weights.small
    swap = dice.random() < weights.swap
    nodes, no_controller, given = _random_shape(dice, weights)
    inner = {parent(node) for node in nodes if node != TOP} - {*no_controller}
    places = [node for node in nodes if node not in inner]
    of = weights
    if swap and weights.sayable and dice.random() < 0.6:
        kinds = [kind for kind in weights.kinds if kind in SWAPPABLE]
        of = replace(weights, kinds=kinds or weights.kinds)
    hogs = _random_hogs(dice, of, places, small)
    target = _random_target(dice, weights, given, hogs)
    by_limit = not (small or swap) and dice.random() < weights.limited
    wanted = sum(hog.size for hog in hogs)
    files: dict[str, dict[str, str]] = {node: {} for node in nodes}
    for node, file, value in _random_settings(dice, weights, (given, target, wanted, small, swap)):
        files[node][file] = str(value)
    amount = dice.choice([None, wanted // 3 + M]) if by_limit else None
    call = Call(target, 0, WAIT_ON_OOM_LOCK, Via.LIMIT if by_limit else Via.BPF, amount)
    sysctls = _random_sysctls(dice, hogs, swap and not weights.sayable)
    reclaim = swap and not weights.sayable
    case = Case(
        hogs=tuple(hogs),
        files=files,
        steps=(Step(call),),
        timeout=weights.timeout,
        sysctls=tuple(sysctls),
        no_controller=no_controller,
        swap=swap,
        reclaim=dice.choice([0, wanted // 4, wanted // 2, wanted]) if reclaim else 0,
    )
    if not weights.sayable:
        return case
    return with_steps(dice, weights, _protected(dice, weights, case, given), given)


def _random_shape(
    dice: random.Random, weights: Weights
) -> tuple[list[str], tuple[str, ...], list[str]]:
    """Nest cgroups, some of them in a chain; parents come before children.

    Returns all, those that keep the controller to themselves, and those that have it. Below one
    without it, processes may live anywhere.
    """
    branches = [TOP]
    for depth in range(dice.randint(0, weights.depth)):
        branches.append(join(dice.choice(branches[-3:]), f"branch{depth}"))
    leaves = [
        join(dice.choice(branches), f"leaf{i}") for i in range(dice.randint(1, weights.leaves))
    ]
    plain = None
    if len(branches) > 1 and dice.random() < weights.plain:
        plain = dice.choice(branches[1:])
    nodes = [*branches, *leaves]
    without = tuple(node for node in nodes if plain and within(node, plain))
    return nodes, without, [node for node in nodes if node == plain or node not in without]


def _random_hogs(
    dice: random.Random, weights: Weights, places: Sequence[str], small: bool
) -> list[Hog]:
    sizes = [_random_size(dice, weights, small) for _ in range(dice.randint(1, 4))]
    alike = dice.random() < weights.alike
    hogs: list[Hog] = []
    least = 0 if dice.random() < weights.empty else 1
    for i in range(dice.randint(least, 4 if small else weights.most_hogs)):
        size = dice.choice(sizes) if alike else _random_size(dice, weights, small)
        name = f"hog{i}"
        entry = name if weights.sayable else ""
        hog = Hog(name, size, _random_adj(dice, weights), dice.choice(places), entry=entry)
        if hogs and dice.random() < weights.tie:
            other = dice.choice(hogs)
            hog = replace(other, name=name, entry=entry, cgroup=hog.cgroup)
        elif dice.random() < weights.special:
            hog = _of_random_kind(dice, weights, hog, places)
        hogs.append(hog)
    return hogs


def _random_size(dice: random.Random, weights: Weights, small: bool) -> int:
    if small:
        return dice.randrange(0, 200 * K, PAGE)
    return int(2 ** dice.uniform(0, weights.pages)) * PAGE


def _random_adj(dice: random.Random, weights: Weights) -> int:
    if dice.random() < 1 - weights.adjusted:
        return 0
    return dice.choice([-1000, -999, -1, 1, 1000, dice.randint(-999, -1), dice.randint(-999, 1000)])


def _of_random_kind(dice: random.Random, weights: Weights, hog: Hog, places: Sequence[str]) -> Hog:
    kind = dice.choice(weights.kinds)
    tasks = dice.randint(*TASKS.get(kind, (1, 1)))
    size, path = hog.size, ""
    if kind == "hugetlb":
        size = dice.randint(0, 2) * _HUGE_PAGE
    elif kind in ("slab", "pipe", "socket", "file"):  # no part of badness
        size = min(size, 2 * M)
    if kind == "file" and _LIBRARY.is_file() and dice.random() < 0.5:
        path = str(_LIBRARY)
    more: dict[str, Any] = {"kind": kind, "size": size, "path": path, "tasks": tasks}
    more["sharer"] = dice.choice(places) if kind == "shared" else ""
    if kind == "threads" and weights.sayable:
        more["leader_exits"] = dice.random() < weights.leaderless
    more["hold"] = dice.choice(weights.holds) if kind == "traced" else 0.0
    return replace(hog, **more)


def _random_target(
    dice: random.Random, weights: Weights, given: Sequence[str], hogs: Sequence[Hog]
) -> str:
    """Return a cgroup that has the controller, mostly one with a hog or a sharer below it."""
    lived_in = [place for hog in hogs for place in (hog.cgroup, hog.sharer) if place]
    if not lived_in or dice.random() < weights.elsewhere:
        return dice.choice(given)
    some = dice.choice(lived_in)
    return dice.choice([node for node in given if within(some, node)])


def _random_settings(
    dice: random.Random, weights: Weights, tree: tuple[Sequence[str], str, int, bool, bool]
) -> Iterator[tuple[str, str, object]]:
    given, target, wanted, small, swap = tree
    for node in given:
        if dice.random() < weights.group:
            yield node, "memory.oom.group", 1
        if small and node == target:
            yield node, "memory.max", SMALL_LIMIT
        elif not small and dice.random() < weights.max:
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


def _protected(dice: random.Random, weights: Weights, case: Case, given: Sequence[str]) -> Case:
    """Add protections, and say of swap what the plan of a scenario says."""
    files = {node: dict(values) for node, values in case.files.items()}
    for node in given:
        if dice.random() < weights.protected:
            limit = files[node].get("memory.max")
            most = SMALL_LIMIT if limit is None else int(limit)
            key = dice.choice(["memory.min", "memory.low"])
            files[node][key] = str(dice.randrange(0, most, PAGE))
    files[TOP].setdefault("memory.swap.max", "max" if case.swap else "0")
    if files[TOP]["memory.swap.max"] != "0":
        files[TOP]["memory.zswap.max"] = "0"
    return replace(case, files=files)
