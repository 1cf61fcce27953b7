"""Faults of [expect]: unknown names, and expectations that contradict something else. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf

from oomctl.oom.enums import VerdictName
from oomctl.oom.plan import Range
from oomctl.scenario.fault import Fault, Path, instead
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Call, Expect
from oomctl.scenario.names import TOP
from oomctl.text import counted

OF_NO_CALL = ("returns", "latency")
"""Expectations of calls only."""
VERDICTS_OF_NO_CALL = (VerdictName.KILLED, VerdictName.NONE_DIED)
_OOM_KILLING = {
    VerdictName.KILLED,
    VerdictName.GROUP_KILLED,
    VerdictName.WRONG_VICTIM,
    VerdictName.OVER_KILL,
}
_KILLING = {*_OOM_KILLING, VerdictName.CGROUP_KILLED}
_SPARING = {
    VerdictName.INVALID_ARGUMENT,
    VerdictName.BUSY,
    VerdictName.SPARED,
    VerdictName.RECLAIMED,
    VerdictName.NO_KILLABLE_TASK,
    VerdictName.OOM_KILLER_DISABLED,
    VerdictName.REFUSED,
    VerdictName.NONE_DIED,
}
_TASKS = {"forker": inf, "shared": 2, "traced": 2}
"""Tasks of a hog that may die in one round; one for the other kinds."""
_CHANGE = "change one of them"

_VICTIMS: Path = ("expect", "victims")
_SURVIVORS: Path = ("expect", "survivors")
_COLLATERAL: Path = ("expect", "collateral")
_VERDICT: Path = ("expect", "verdict")


def expect_faults(layout: Layout) -> Iterator[Fault]:
    """Yield expectations of unknown hogs and cgroups, and those that contradict each other."""
    known, calls = _Known(layout), layout.file.calls
    expect = layout.file.expect or Expect()
    for index, call in enumerate(calls):
        yield from _of_a_call(known, ("call", index), call, expect)
    yield from known.unknown(_VICTIMS, expect.victims or ())
    yield from known.unknown(_SURVIVORS, expect.survivors)
    if calls:
        yield from _returns(calls, expect)
        yield from _verdict(calls, expect)
    else:
        yield from _without_call(expect)
    living = known.all_of(expect.survivors)
    for name in expect.victims or ():
        if name in expect.survivors or (known.hogs.get(name) and known.hogs[name] <= living):
            what = f"'{name}' is one of expect.victims as well"
            yield Fault(_SURVIVORS, what, "remove it from one of them", (_VICTIMS,))
    yield from _kills(known, calls, expect)
    yield from _events(layout, expect)


@dataclass(frozen=True)
class _Known:
    """The hogs of a scenario by name, alone and as entries, and how many tasks each has."""

    layout: Layout

    @cached_property
    def hogs(self) -> Mapping[str, frozenset[str]]:
        """The hogs that a name stands for."""
        found: dict[str, frozenset[str]] = {name: frozenset() for name in self.layout.file.hog}
        for member in self.layout.members:
            found[member.entry] |= {member.name}
        return {**found, **{name: frozenset({name}) for name in self.tasks if name not in found}}

    @cached_property
    def tasks(self) -> Mapping[str, float]:
        """How many tasks of a hog may die."""
        return {m.name: _TASKS.get(m.table.kind, 1) for m in self.layout.members}

    def all_of(self, names: Iterable[str]) -> frozenset[str]:
        """Return the hogs that the names stand for."""
        return frozenset().union(*(self.hogs.get(name, frozenset()) for name in names))

    def least(self, names: Iterable[str]) -> int:
        """Return how many have to die so that each name has a death."""
        wanted = {self.hogs[name] for name in names if self.hogs.get(name)}
        alone = frozenset().union(*(each for each in wanted if len(each) == 1))
        return len(alone) + sum(len(each) > 1 and not each & alone for each in wanted)

    def most(self, hogs: Iterable[str]) -> float:
        """Return how many tasks of the hogs may die."""
        return sum(self.tasks[hog] for hog in hogs)

    def unknown(self, path: Path, names: Collection[str]) -> Iterator[Fault]:
        """Yield the names of hogs that do not exist."""
        for name in names:
            if name not in self.hogs:
                what = f"there is no hog '{name}' in this scenario"
                hint = instead(name, list(self.hogs), none="it has no hogs")
                yield Fault(path, what, hint, (("hog", name),))


def _of_a_call(known: _Known, step: Path, call: Call, expect: Expect) -> Iterator[Fault]:
    """Yield victims of a call that its verdict or the expectations of the round exclude."""
    path, names = (*step, "expect", "victims"), call.expect.victims
    if names is None:
        return
    yield from known.unknown(path, names)
    verdicts = set(call.expect.verdict)
    if verdicts and verdicts <= (_SPARING if names else _KILLING):
        deaths = "a hog has to die" if names else "no hog may die"
        what = f"{deaths}, so the verdict cannot be {' or '.join(call.expect.verdict)}"
        yield Fault(path, what, _CHANGE, ((*step, "expect", "verdict"),))
    living = known.all_of(expect.survivors)
    for name in names:
        if known.hogs.get(name) and known.hogs[name] <= living:
            yield Fault(path, f"'{name}' is one of expect.survivors", _CHANGE, (_SURVIVORS,))
    if expect.victims is None:
        return
    allowed = known.all_of(expect.victims)
    others = [name for name in names if known.hogs.get(name) and not known.hogs[name] & allowed]
    calls = call.callers * call.repeat
    room = known.most(known.all_of(names) & allowed) + expect.collateral
    if known.least(others) * calls > expect.collateral or known.least(names) * calls > room:
        more = f"its victims are more than expect.victims has of '{', '.join(names)}'"
        yield Fault(
            path,
            f"'{others[0]}' is not one of expect.victims" if others else more,
            "add it there, or raise expect.collateral",
            (_VICTIMS, _COLLATERAL, *_counts(step)),
        )


def _kills(known: _Known, calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield a number of deaths, or a verdict, that the expected victims exclude."""
    path: Path = ("expect", "kills")
    kills = expect.kills
    rests_on: tuple[Path, ...] = (
        *(_VICTIMS, _SURVIVORS, _COLLATERAL),
        *_of_the_calls(calls, "victims"),
    )
    by_calls = sum(known.least(c.expect.victims or ()) * c.callers * c.repeat for c in calls)
    least = max(known.least(expect.victims or ()), by_calls)
    most: float = inf
    living = known.all_of(expect.survivors)
    if expect.victims is not None:
        most = known.most(known.all_of(expect.victims) - living) + expect.collateral
    elif expect.survivors and all(call.on_tree for call in calls):
        most = known.most(known.tasks.keys() - living)
    if kills and kills.high is not None and kills.high < least:
        yield Fault(path, f"{kills} is less than the {least} that have to die", _CHANGE, rests_on)
    if kills and kills.low > most:
        yield Fault(path, f"{kills} is more than the {most:g} that may die", _CHANGE, rests_on)
    none_dies = most == 0 or (kills is not None and kills.high == 0)
    if expect.verdict and none_dies and set(expect.verdict) <= _KILLING:
        what = f"no task may die, so the verdict cannot be {' or '.join(expect.verdict)}"
        yield Fault(_VERDICT, what, _CHANGE, (*rests_on, path))


def _returns(calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield numbers of returns that the calls, or what is expected of each, exclude."""
    path: Path = ("expect", "returns")
    made = [(set(call.expect.returns), call.callers * call.repeat) for call in calls]
    rests_on = _of_the_calls(calls, "returns")
    every = sum(count for _allowed, count in made)
    if (wanted := sum(span.low for span in expect.returns.values())) > every:
        what = f"{wanted} returns are expected of {counted(every, 'call')}"
        yield Fault(path, what, _CHANGE, rests_on)
        return
    for value, span in expect.returns.items():
        low = sum(count for allowed, count in made if allowed == {value})
        high = sum(count for allowed, count in made if not allowed or value in allowed)
        if span.low > high or (span.high is not None and span.high < low):
            of_calls = f"call.expect.returns, which makes it {Range(low, high)}"
            what = f"{span} of '{value}' contradicts {of_calls}"
            yield Fault(path, what, _CHANGE, rests_on)


def _verdict(calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield a verdict of the run, which is that of one of its calls, that none of them may have."""
    each = [set(call.expect.verdict) for call in calls]
    if expect.verdict and all(each) and not set(expect.verdict) & set().union(*each):
        what = f"no call may have the verdict {' or '.join(expect.verdict)}"
        steps = tuple(("call", index, "expect", "verdict") for index in range(len(calls)))
        yield Fault(_VERDICT, what, _CHANGE, steps)


def _without_call(expect: Expect) -> Iterator[Fault]:
    rests_on: tuple[Path, ...] = (("call",),)
    for key in OF_NO_CALL:
        if getattr(expect, key):
            what = "is for calls, and this scenario has none"
            yield Fault(("expect", key), what, "leave it out", rests_on)
    if expect.verdict and not set(expect.verdict) & set(VERDICTS_OF_NO_CALL):
        what = f"without a call the verdict cannot be {' or '.join(expect.verdict)}"
        yield Fault(_VERDICT, what, f"write {' or '.join(VERDICTS_OF_NO_CALL)}", rests_on)


def _events(layout: Layout, expect: Expect) -> Iterator[Fault]:
    for cgroup, wanted in expect.cgroup.items():
        path: Path = ("expect", "cgroup", cgroup)
        if cgroup not in layout.cgroups:
            what = f"there is no cgroup '{cgroup}' in this scenario"
            hint = instead(cgroup, layout.cgroups)
            yield Fault(path, what, hint, (("cgroup", cgroup), ("hog",)))
        for counter in wanted.events if cgroup == TOP else ():
            if counter in expect.events:
                what = f"is the same as expect.events.{counter}"
                yield Fault((*path, "events", counter), what, "keep one of them")
    if not expect.verdict or not set(expect.verdict) <= _OOM_KILLING:
        return
    if not all(call.on_tree for call in layout.file.calls):
        return
    top = expect.cgroup.get(TOP)
    for path, events in (
        (("expect", "events"), expect.events),
        (("expect", "cgroup", TOP, "events"), top.events if top else {}),
    ):
        # each victim in the tree is counted at the top (mm/oom_kill.c, __oom_kill_process())
        if "oom_kill" in events and events["oom_kill"].high == 0:
            what = f"is 0, so the verdict cannot be {' or '.join(expect.verdict)}"
            yield Fault((*path, "oom_kill"), what, _CHANGE, (_VERDICT, ("call",)))


def _of_the_calls(calls: tuple[Call, ...], key: str) -> tuple[Path, ...]:
    """Return the paths that an expectation of all calls together follows from."""
    steps: list[Path] = [("call", index) for index in range(len(calls))]
    return tuple(path for step in steps for path in ((*step, "expect", key), *_counts(step)))


def _counts(step: Path) -> tuple[Path, ...]:
    return (*step, "callers"), (*step, "repeat")
