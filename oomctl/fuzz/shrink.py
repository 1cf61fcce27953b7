"""Makes a case smaller as long as it still differs. Pure.

An own small engine instead of hypothesis: a try is an experiment on a real kernel, which takes a
tenth of a second to seconds and may come out otherwise the next time. hypothesis shrinks the
choices that lead to a case, most of which lead to none that can be carried out, and calls a test
that passes once after it failed flaky; here each step leaves a sound case, the largest parts go
first, and `differs` may try as often as it wants.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from oomctl.fuzz.case import Case
from oomctl.oom.enums import Via
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Hog, Step
from oomctl.scenario.names import TOP

T = TypeVar("T")
_ROUND = 1 << 20
Differs = Callable[[Case], bool]
Pass = Callable[[Case], Iterator[Case]]


@dataclass
class Shrinker:
    """Shrinks one case in at most `budget` tries; `best` is the smallest so far that differs."""

    best: Case
    differs: Differs
    budget: int
    tries: int = 0
    _tried: list[Case] = field(default_factory=list)

    def run(self) -> Case:
        """Take parts away until no single step leaves a case that differs."""
        passes: tuple[Pass, ...] = (
            *(fewer_steps, fewer_actions, fewer_hogs),
            *(fewer_cgroups, fewer_settings, plainer),
        )
        before = None
        while before != self.best and self.tries < self.budget:
            before = self.best
            for each in passes:
                while self._improve(each) and self.tries < self.budget:
                    pass
        return self.best

    def _improve(self, smaller: Pass) -> bool:
        for case in smaller(self.best):
            if case == self.best or not case.is_sound or case in self._tried:
                continue
            if self.tries >= self.budget:
                return False
            self.tries += 1
            self._tried.append(case)
            if self.differs(case):
                self.best = case
                return True
        return False


def fewer_steps(case: Case) -> Iterator[Case]:
    """Yield the case with one of its steps alone, then without each of them."""
    if len(case.steps) > 1:
        yield from (replace(case, steps=(step,)) for step in case.steps)
    if len(case.steps) > 2:
        yield from (replace(case, steps=rest) for rest in _without_each(case.steps, 1))


def fewer_actions(case: Case) -> Iterator[Case]:
    """Yield the case without any action, then without each of them."""
    if case.actions:
        yield replace(case, actions=())
    yield from (replace(case, actions=rest) for rest in _without_each(case.actions, 1))


def fewer_hogs(case: Case) -> Iterator[Case]:
    """Yield the case without halves of its hogs, then quarters, then single ones."""
    size = (len(case.hogs) + 1) // 2
    while size:
        yield from (replace(case, hogs=rest) for rest in _without_each(case.hogs, size))
        size //= 2


def fewer_cgroups(case: Case) -> Iterator[Case]:
    """Yield the case without each cgroup; the last made, which have none below, come first."""
    for cgroup in reversed([*case.files]):
        if cgroup != TOP:
            yield case.without_cgroup(cgroup)


def fewer_settings(case: Case) -> Iterator[Case]:
    """Yield the case without each setting and sysctl; swap stays off for the top."""
    for cgroup, files in case.files.items():
        for file in files:
            if cgroup == TOP and "swap" in file:
                continue
            left = {name: value for name, value in files.items() if name != file}
            yield replace(case, files={**case.files, cgroup: left})
    yield from (replace(case, sysctls=rest) for rest in _without_each(case.sysctls, 1))
    if case.reclaim:
        yield replace(case, reclaim=0)


def plainer(case: Case) -> Iterator[Case]:
    """Yield the case with each hog, each step and each limit closer to what is usual."""
    for place, hog in enumerate(case.hogs):
        for other in _plainer_hogs(case, hog):
            yield replace(case, hogs=_with(case.hogs, place, other))
    for place, step in enumerate(case.steps):
        for better in _plainer_steps(step):
            yield replace(case, steps=_with(case.steps, place, better))


def _plainer_hogs(case: Case, hog: Hog) -> Iterator[Hog]:
    if hog.kind != "anon":
        yield replace(hog, kind="anon", tasks=1, leader_exits=False, sharer="", hold=0.0, path="")
    if hog.leader_exits:
        yield replace(hog, leader_exits=False)
    if hog.tasks > 2 or (hog.tasks > 1 and hog.kind == "forker"):
        yield replace(hog, tasks=2 if hog.kind == "threads" else 1)
    if hog.oom_score_adj:
        yield replace(hog, oom_score_adj=0)
    if abs(hog.oom_score_adj) not in (0, 1, 1000):
        yield replace(hog, oom_score_adj=1000 if hog.oom_score_adj > 0 else -1)
    yield from (replace(hog, size=size) for size in _plainer_sizes(case, hog))


def _plainer_sizes(case: Case, hog: Hog) -> Iterator[int]:
    """Yield sizes that say more: that of another hog, a whole MiB, half of it."""
    if hog.size % _ROUND or not hog.size:
        yield (hog.size // _ROUND + 1) * _ROUND
    yield from sorted({o.size for o in case.hogs if o is not hog and o.size < hog.size})
    if hog.size > _ROUND:
        yield hog.size // 2 // _ROUND * _ROUND or _ROUND


def _plainer_steps(step: Step) -> Iterator[Step]:
    call = step.call
    if step.callers > 1:
        yield replace(step, callers=1)
        yield replace(step, callers=2)
    if call.order:
        yield replace(step, call=replace(call, order=0))
    if call.flags != WAIT_ON_OOM_LOCK and call.via == Via.BPF:
        yield replace(step, call=replace(call, flags=WAIT_ON_OOM_LOCK))
    if call.via != Via.BPF:
        plain = replace(call, via=Via.BPF, flags=WAIT_ON_OOM_LOCK, amount=None)
        yield replace(step, call=plain)
    if call.target != TOP:
        yield replace(step, call=replace(call, target=TOP))


def _without_each(items: tuple[T, ...], size: int) -> Iterator[tuple[T, ...]]:
    """Yield the items without each run of `size`, from the end on."""
    for end in range(len(items), 0, -size):
        yield (*items[: max(end - size, 0)], *items[end:])


def _with(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])
