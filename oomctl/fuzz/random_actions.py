"""What is done at random around the calls of a case."""

import random
from collections.abc import Iterator

from oomctl.fuzz.case import Case
from oomctl.fuzz.coverage import HIGH
from oomctl.fuzz.weights import PAGE, M, Weights
from oomctl.oom.enums import Do, Occasion, Via
from oomctl.oom.plan import Action, After, HogKind
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.names import TOP

_PLAIN: tuple[HogKind, ...] = ("anon", "shmem", "mlock")
"""Kinds of hogs that are one process, which may be stopped and killed."""


def actions(dice: random.Random, case: Case) -> Iterator[Action]:
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
    yield from _writes(dice, case)
    plain = [hog.name for hog in case.hogs if hog.kind in _PLAIN]
    # what a limit is lowered for must be charged where its tasks are
    if plain and dice.random() < 0.4 and case.steps[0].call.via != Via.LIMIT:
        home = dice.choice([at for at in case.files if at not in case.inner and at not in empty])
        yield Action(0, filled, Do.MOVE, home, dice.choice(plain))
    if plain and dice.random() < 0.4:
        yield Action(0, filled, Do.STOP, hog=dice.choice(plain))
    if plain and dice.random() < 0.3:
        yield Action(0, filled, Do.KILL, hog=dice.choice(plain))


def _writes(dice: random.Random, case: Case) -> Iterator[Action]:
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


def swapping(dice: random.Random, weights: Weights, case: Case) -> Iterator[Action]:
    """Yield a memory.high that has the kernel swap out what is above."""
    if case.swap and dice.random() < weights.swapping:
        largest = max(case.hogs, key=lambda hog: hog.size, default=None)
        places = [TOP, *(hog.cgroup for hog in case.hogs)]
        at = largest.cgroup if largest and dice.random() < 0.5 else dice.choice(places)
        part = dice.choice([0, 0, *(hog.size // 2 for hog in case.hogs)])
        value = part // PAGE * PAGE
        yield Action(0, After(), Do.WRITE, at, file=HIGH, value=str(value))
