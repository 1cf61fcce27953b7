"""What is done at random around the calls of a case."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from oomctl.fuzz.case import HIGH, Case
from oomctl.fuzz.weights import PAGE, M, Weights
from oomctl.oom.enums import Do, Occasion, Via
from oomctl.oom.plan import Action, After, Hog, HogKind
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.names import TOP, within

_PLAIN: tuple[HogKind, ...] = ("anon", "shmem", "mlock")
"""Kinds of hogs that are one process, which may be stopped and killed."""
_FILLED, _RETURNED = After(), After(Occasion.RETURNED)
_DELAYS = (0.01, 0.05, 0.2)
"""Seconds after the hogs are filled: about when the calls are made."""


def actions(dice: random.Random, weights: Weights, case: Case) -> Iterator[Action]:
    """Yield what does not change the choice, or what the model knows by the time of the call."""
    if dice.random() < weights.acting:
        for start in _starts(dice, case):
            yield start
            case = replace(case, actions=(*case.actions, start))
        yield from _swapping(dice, weights, case)
        yield from _stops(dice, case)
        yield from _on_cgroups(dice, case)
        yield from _moves(dice, case)
    else:
        yield from _swapping(dice, weights, case)
    yield from _switches(dice, weights)


def _starts(dice: random.Random, case: Case) -> Iterator[Action]:
    if case.hogs and dice.random() < 0.4:
        for hog in dice.sample(case.hogs, dice.randint(1, min(2, len(case.hogs)))):
            yield Action(0, dice.choice([_FILLED, _RETURNED]), Do.START, hog=hog.name)


def _swapping(dice: random.Random, weights: Weights, case: Case) -> Iterator[Action]:
    """Yield a memory.high that has the kernel swap out what is above."""
    # the children of a forker are made anew between two calls
    is_steady = not any(hog.kind == "forker" for hog in case.hogs)
    if case.swap and is_steady and dice.random() < weights.swapping:
        largest = max(case.hogs, key=lambda hog: hog.size, default=None)
        places = [TOP, *(hog.cgroup for hog in case.hogs)]
        at = largest.cgroup if largest and dice.random() < 0.5 else dice.choice(places)
        part = dice.choice([0, 0, *(hog.size // 2 for hog in case.hogs)])
        value = part // PAGE * PAGE
        if at in _unstarted(case, [at]):
            yield Action(0, _FILLED, Do.WRITE, at, file=HIGH, value=str(value))


def _on_cgroups(dice: random.Random, case: Case) -> Iterator[Action]:
    traced = any(hog.kind == "traced" for hog in case.hogs)  # a frozen tracer would not let go
    freezable = _unstarted(case, [*case.files])
    frozen = ""
    if dice.random() < 0.6 and freezable and not traced:
        frozen = dice.choice(freezable)
        yield Action(0, _FILLED, Do.WRITE, frozen, file=FREEZE, value="1")
        if dice.random() < 0.6:
            marked = [After(Occasion.MARKED, (hog.name,)) for hog in case.hogs]
            after = dice.choice([_FILLED, _RETURNED, *marked])
            yield Action(0, after, Do.WRITE, frozen, file=FREEZE, value="0")
    empty = [cgroup for cgroup in case.files if case.is_empty(cgroup) and cgroup != frozen]
    if empty and dice.random() < 0.5:
        yield Action(0, dice.choice([_FILLED, _RETURNED]), Do.REMOVE, dice.choice(empty))
    yield from _writes(dice, case)


def _writes(dice: random.Random, case: Case) -> Iterator[Action]:
    """Yield a group that is made or ended, and a limit that changes without a kill."""
    wanted = sum(hog.size for hog in case.hogs)
    kept = [at for at in case.files if not case.is_empty(at)]
    for file, values in {
        "memory.oom.group": ("0", "1"),
        "memory.max": ("max", str(wanted * 3 // 2 + dice.randint(32, 512) * M)),
    }.items():
        if dice.random() < 0.3:
            after = dice.choice([_FILLED, _RETURNED])
            at, value = dice.choice(kept), dice.choice(values)
            yield Action(0, after, Do.WRITE, at, file=file, value=value)


def _stops(dice: random.Random, case: Case) -> Iterator[Action]:
    """Yield a stop and a continue; the hog to continue may have been killed.

    They come before a freeze: what is frozen stops only when it is thawed.
    """
    stopped = [hog.name for hog in _there(case) if hog.kind == "stopped"]
    plain = [hog.name for hog in _there(case) if hog.kind in _PLAIN]
    if plain and dice.random() < 0.4:
        stopped.append(dice.choice(plain))
        yield Action(0, _FILLED, Do.STOP, hog=stopped[-1])
    if stopped and dice.random() < 0.6:
        after = dice.choice([_FILLED, _RETURNED, After(delay=dice.choice(_DELAYS))])
        yield Action(0, after, Do.CONTINUE, hog=dice.choice(stopped), may_fail=True)


def _moves(dice: random.Random, case: Case) -> Iterator[Action]:
    """Yield a move and a kill."""
    plain = [hog.name for hog in _there(case) if hog.kind in _PLAIN]
    # what a limit is lowered for must be charged where its tasks are
    if plain and dice.random() < 0.4 and case.steps[0].call.via != Via.LIMIT:
        homes = [at for at in case.files if at not in case.inner and not case.is_empty(at)]
        yield Action(0, _FILLED, Do.MOVE, dice.choice(homes), dice.choice(plain))
    if plain and dice.random() < 0.3:
        yield Action(0, _FILLED, Do.KILL, hog=dice.choice(plain))


def _there(case: Case) -> list[Hog]:
    """Return the hogs that are started by the first call."""
    return [hog for hog in case.hogs if hog.name not in case.late]


def _switches(dice: random.Random, weights: Weights) -> Iterator[Action]:
    """Yield settings of the whole machine, also while calls are under way."""
    if not weights.switches or dice.random() > weights.switching:
        return
    for switch in dice.sample(weights.switches, dice.randint(1, min(2, len(weights.switches)))):
        times = [_FILLED, _RETURNED]
        if not switch.at(_FILLED, "").may_turn_choice:
            times += [After(delay=delay) for delay in _DELAYS]
        for value in dice.sample(switch.values, dice.randint(1, 2)):
            yield switch.at(dice.choice(times), value)


def _unstarted(case: Case, cgroups: Sequence[str]) -> list[str]:
    """Return those of some cgroups in which no hog is started after the first call."""
    places = [
        place for hog in case.hogs if hog.name in case.late for place in (hog.cgroup, hog.sharer)
    ]
    return [at for at in cgroups if not any(place and within(place, at) for place in places)]
