"""Random cases: of the same dice and weights comes the same case. Pure."""

import random
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from oomctl.fuzz.case import Case
from oomctl.fuzz.coverage import HIGH, SWAPPABLE
from oomctl.oom.enums import Do, Occasion, Via
from oomctl.oom.plan import (
    INT32_MAX,
    INT32_MIN,
    WAIT_ON_OOM_LOCK,
    Action,
    After,
    Call,
    Hog,
    HogKind,
    Step,
    Sysctl,
)
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.names import TOP, join, parent, within

K, M = 1 << 10, 1 << 20
PAGE, HUGE_PAGE = 4 * K, 2 * M
SMALL_LIMIT = 3900 * K
"""A memory.max of less than 1000 pages, with which oom_score_adj weighs nothing."""
_BAD_ORDERS = (-1, 11, 64, INT32_MIN, INT32_MAX)
_BAD_FLAGS = (2, 3, 1 << 63)
_LIBRARY = Path(
    sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or ""
)
_PLAIN: tuple[HogKind, ...] = ("anon", "shmem", "mlock")
"""Kinds of hogs that are one process, which may be stopped and killed."""
_TASKS: Mapping[str, tuple[int, int]] = {"threads": (2, 5), "forker": (1, 4)}


@dataclass(frozen=True)
class Weights:
    """How often a case has something, 0 to 1, and how large it may be.

    `small` is a limit below 1000 pages, `alike` hogs of few sizes, `tie` a hog like another,
    `special` a hog of any of `kinds`, `plain` a cgroup without the controller below it, `limited` a
    call by memory.max, `empty` no hogs, `elsewhere` a target without regard to the hogs, `bad` an
    invalid order or flag, `several` a second and a third call, `acting` something
    that is done before the calls or after the first, `swapping` memory that is swapped out before
    them, `triggered` a call by memory.reclaim or cgroup.kill, `together` several callers at once.
    `pages` is the binary logarithm of the largest
    hog's size.
    """

    small: float = 0.15
    swap: float = 0.25
    alike: float = 0.5
    tie: float = 0.3
    adjusted: float = 0.5
    special: float = 0.6
    plain: float = 0.25
    limited: float = 0.12
    empty: float = 0.1
    elsewhere: float = 0.1
    group: float = 0.3
    max: float = 0.4
    protected: float = 0.2
    bad: float = 0.08
    several: float = 0.25
    acting: float = 0.4
    swapping: float = 0.8
    triggered: float = 0.15
    together: float = 0.2
    pages: float = 12.3
    most_hogs: int = 9
    depth: int = 5
    leaves: int = 6
    holds: Sequence[float] = (0.0, 0.3, 2.5)
    kinds: Sequence[HogKind] = get_args(HogKind)
    sayable: bool = False
    """Whether a scenario file can say all of it; what comes after `group` is for these only."""
    timeout: float = 120.0


FUZZED: tuple[HogKind, ...] = tuple(kind for kind in get_args(HogKind) if kind != "hugetlb")
"""The kinds of hogs that need no sysctl of the whole machine."""

SAYABLE = Weights(
    swap=0.0,
    plain=0.0,
    pages=9,
    most_hogs=6,
    depth=3,
    leaves=4,
    holds=(0.0, 0.05),
    kinds=FUZZED,
    sayable=True,
    timeout=60.0,
)
"""Small cases that a scenario file can say in full."""


def most_memory(weights: Weights) -> int:
    """Return the bytes that the hogs of a case hold at most: each child of a forker fills too."""
    return int(2**weights.pages) * PAGE * weights.most_hogs * (_TASKS["forker"][1] + 1)


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
    # a forker makes children anew between two choices, which no look can have seen
    by_limit &= not (weights.sayable and any(hog.kind == "forker" for hog in hogs))
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
    return _with_more(dice, weights, case, given) if weights.sayable else case


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
    tasks = dice.randint(*_TASKS.get(kind, (1, 1)))
    size, path = hog.size, ""
    if kind == "hugetlb":
        size = dice.randint(0, 2) * HUGE_PAGE
    elif kind in ("slab", "pipe", "socket", "file"):  # no part of badness
        size = min(size, 2 * M)
    if kind == "file" and _LIBRARY.is_file() and dice.random() < 0.5:
        path = str(_LIBRARY)
    more: dict[str, Any] = {"kind": kind, "size": size, "path": path, "tasks": tasks}
    more["sharer"] = dice.choice(places) if kind == "shared" else ""
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
    huge = sum(hog.size // HUGE_PAGE for hog in hogs if hog.kind == "hugetlb")
    found = [Sysctl("vm.nr_hugepages", str(huge))] if huge else []
    if swap and dice.random() < 0.15:
        found.append(Sysctl("vm.swappiness", "0"))
    return found


def _with_more(dice: random.Random, weights: Weights, case: Case, given: Sequence[str]) -> Case:
    """Add protections, and calls that are invalid, do not wait, or come after the first."""
    files = {node: dict(values) for node, values in case.files.items()}
    for node in given:
        if dice.random() < weights.protected:
            limit = files[node].get("memory.max")
            most = SMALL_LIMIT if limit is None else int(limit)
            key = dice.choice(["memory.min", "memory.low"])
            files[node][key] = str(dice.randrange(0, most, PAGE))
    files[TOP].setdefault("memory.swap.max", "max" if case.swap else "0")
    if files[TOP]["memory.swap.max"] != "0":
        files[TOP]["memory.zswap.max"] = "0"  # as the plan of a scenario has it
    # the children of a forker are made anew between two calls
    is_steady = not any(hog.kind == "forker" for hog in case.hogs)
    wanted = sum(hog.size for hog in case.hogs)
    steps = [
        _varied(dice, weights, step) if step.call.via == Via.BPF else step for step in case.steps
    ]
    if is_steady:
        steps = [_triggered(dice, weights, step, wanted, case.swap) for step in steps]
    if is_steady and steps[0].call.via != Via.LIMIT and dice.random() < weights.several:
        for _ in range(dice.randint(1, 2)):
            again = replace(case.steps[0].call, target=dice.choice(given))
            step = _varied(dice, weights, Step(again))
            steps.append(_triggered(dice, weights, step, wanted, case.swap))
    more = replace(case, files=files, steps=tuple(steps))
    actions = list(_random_swapping(dice, weights, more)) if is_steady else []
    if dice.random() < weights.acting:
        actions += _random_actions(dice, more)
    return replace(
        more, actions=tuple(replace(each, step=step) for step, each in enumerate(actions))
    )


def _random_actions(dice: random.Random, case: Case) -> Iterator[Action]:
    """Yield what does not change the choice, or what the model knows by the time of the call."""
    filled, returned = After(), After(Occasion.RETURNED)
    traced = any(hog.kind == "traced" for hog in case.hogs)  # a frozen tracer would not let go
    frozen = ""
    if dice.random() < 0.6 and not traced:
        frozen = dice.choice([*case.files])
        yield Action(0, filled, Do.WRITE, frozen, file=FREEZE, value="1")
        if dice.random() < 0.5:
            yield Action(0, returned, Do.WRITE, frozen, file=FREEZE, value="0")
    empty = [cgroup for cgroup in case.files if case.is_empty(cgroup) and cgroup != frozen]
    if empty and dice.random() < 0.5:
        after = dice.choice([filled, returned])
        yield Action(0, after, Do.REMOVE, dice.choice(empty))
    yield from _random_writes(dice, case)
    plain = [hog.name for hog in case.hogs if hog.kind in _PLAIN]
    # what a limit is lowered for must be charged where its tasks are
    if plain and dice.random() < 0.4 and case.steps[0].call.via != Via.LIMIT:
        home = dice.choice([at for at in case.files if at not in case.inner and at not in empty])
        yield Action(0, filled, Do.MOVE, home, dice.choice(plain))
    if plain and dice.random() < 0.4:
        yield Action(0, filled, Do.STOP, hog=dice.choice(plain))
    if plain and dice.random() < 0.3:
        yield Action(0, filled, Do.KILL, hog=dice.choice(plain))


def _random_writes(dice: random.Random, case: Case) -> Iterator[Action]:
    """Yield a group that is made or ended, and a limit that changes without a kill."""
    wanted = sum(hog.size for hog in case.hogs)
    kept = [at for at in case.files if not case.is_empty(at)]
    for file, values in {
        "memory.oom.group": ("0", "1"),
        "memory.max": ("max", str(wanted * 3 // 2 + dice.randint(32, 512) * M)),
    }.items():
        if dice.random() < 0.3:
            after = After(dice.choice([Occasion.FILLED, Occasion.RETURNED]))
            at, value = dice.choice(kept), dice.choice(values)
            yield Action(0, after, Do.WRITE, at, file=file, value=value)


def _random_swapping(dice: random.Random, weights: Weights, case: Case) -> Iterator[Action]:
    """Yield a memory.high that has the kernel swap out what is above."""
    if case.swap and dice.random() < weights.swapping:
        largest = max(case.hogs, key=lambda hog: hog.size, default=None)
        places = [TOP, *(hog.cgroup for hog in case.hogs)]
        at = largest.cgroup if largest and dice.random() < 0.5 else dice.choice(places)
        part = dice.choice([0, 0, *(hog.size // 2 for hog in case.hogs)])
        value = part // PAGE * PAGE
        yield Action(0, After(), Do.WRITE, at, file=HIGH, value=str(value))


def _triggered(dice: random.Random, weights: Weights, step: Step, wanted: int, swap: bool) -> Step:
    """Return a step with another trigger, or with several callers."""
    call = step.call
    if call.via == Via.BPF and dice.random() < weights.triggered:
        # with swap, reclaim changes what is chosen from after the look
        if swap or dice.random() < 0.4:
            return replace(step, call=Call(call.target, 0, WAIT_ON_OOM_LOCK, Via.KILL))
        amount = dice.choice([256 * K, M, wanted // 2 + M])
        return replace(step, call=replace(call, via=Via.RECLAIM, amount=amount))
    if call.via == Via.BPF and dice.random() < weights.together:
        return replace(step, callers=dice.randint(2, 4))
    return step


def _varied(dice: random.Random, weights: Weights, step: Step) -> Step:
    order, flags = dice.choice([0, 0, 0, *range(11)]), dice.choice([0, 1])
    if dice.random() < weights.bad:
        order, flags = dice.choice(
            [(dice.choice(_BAD_ORDERS), flags), (order, dice.choice(_BAD_FLAGS))]
        )
    return replace(step, call=replace(step.call, order=order, flags=flags))
