"""Expectations that cannot come true: unknown names, and what contradicts something else. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf

from oomctl.scenario.fault import Fault
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import Call, Expect
from oomctl.scenario.names import TOP
from oomctl.scenario.words import Path, instead

OF_NO_CALL = ("returns", "latency")
"""What is expected of calls only."""
VERDICTS_OF_NO_CALL = ("killed", "nobody-died")
_KILLING = {"killed", "group-killed", "wrong-victim", "over-kill", "cgroup-killed"}
_SPARING = {
    *("invalid-argument", "busy", "spared", "reclaimed", "no-killable-task"),
    *("oom-killer-disabled", "refused", "nobody-died"),
}
_TASKS = {"forker": inf, "shared": 2, "traced": 2}
"""Tasks of a hog that may die in one round; of the others it is one."""
_DECIDE = "change one of them"


def expect_faults(layout: Layout) -> Iterator[Fault]:
    """Yield expectations about what is not there, or that contradict each other."""
    known = _Known(layout)
    expect = layout.file.expect or Expect()
    for index, call in enumerate(layout.file.calls):
        yield from _of_a_call(known, ("call", index), call)
        yield from _call_and_round(known, ("call", index), call, expect)
    yield from known.faults(("expect", "victims"), expect.victims or ())
    yield from known.faults(("expect", "survivors"), expect.survivors)
    if layout.file.calls:
        yield from _returns(layout.file.calls, expect)
        yield from _verdict_and_calls(layout.file.calls, expect)
    else:
        yield from _without_call(expect)
    yield from _survivors(known, expect)
    yield from _kills(known, layout.file.calls, expect)
    yield from _events(layout, expect)


@dataclass(frozen=True)
class _Known:
    """The hogs of a scenario by name, alone and as families, and how many tasks each has."""

    layout: Layout

    @cached_property
    def hogs(self) -> Mapping[str, frozenset[str]]:
        """The names of hogs that a name stands for."""
        found: dict[str, frozenset[str]] = {name: frozenset() for name in self.layout.file.hog}
        for member in self.layout.members:
            found[member.entry] |= {member.name}
        return {**found, **{name: frozenset({name}) for name in self.tasks if name not in found}}

    @cached_property
    def tasks(self) -> Mapping[str, float]:
        """How many tasks of a hog may die."""
        return {m.name: _TASKS.get(m.table.kind, 1) for m in self.layout.members}

    def all_of(self, names: Iterable[str]) -> frozenset[str]:
        """Return the hogs behind names."""
        return frozenset().union(*(self.hogs.get(name, frozenset()) for name in names))

    def least(self, names: Iterable[str]) -> int:
        """Return how many have to die so that each name has a death."""
        wanted = {self.hogs[name] for name in names if self.hogs.get(name)}
        alone = frozenset().union(*(each for each in wanted if len(each) == 1))
        return len(alone) + sum(len(each) > 1 and not each & alone for each in wanted)

    def most(self, hogs: Iterable[str]) -> float:
        """Return how many tasks of hogs may die."""
        return sum(self.tasks[hog] for hog in hogs)

    def faults(self, path: Path, names: Collection[str]) -> Iterator[Fault]:
        """Yield names of hogs that are not there."""
        for name in names:
            if name not in self.hogs:
                yield Fault(
                    path,
                    f"there is no hog '{name}' in this scenario",
                    instead(name, list(self.hogs), none="it has no hogs"),
                    rests_on=(("hog", name),),
                )


def _of_a_call(known: _Known, step: Path, call: Call) -> Iterator[Fault]:
    """Yield what each call of a step cannot come to."""
    path, names = (*step, "expect", "victims"), call.expect.victims
    if names is None:
        return
    yield from known.faults(path, names)
    verdicts = set(call.expect.verdict)
    if verdicts and verdicts <= (_SPARING if names else _KILLING):
        yield Fault(
            path,
            f"{'nobody' if not names else 'a hog'} is to die, which is no "
            f"{' or '.join(call.expect.verdict)}",
            _DECIDE,
            rests_on=((*step, "expect", "verdict"),),
        )


def _call_and_round(known: _Known, step: Path, call: Call, expect: Expect) -> Iterator[Fault]:
    """Yield who is to die of a call but not in the round."""
    path, names = (*step, "expect", "victims"), call.expect.victims or ()
    for name in names:
        if known.hogs.get(name) and known.hogs[name] <= known.all_of(expect.survivors):
            key: Path = ("expect", "survivors")
            yield Fault(path, f"'{name}' is one of expect.survivors", _DECIDE, rests_on=(key,))
    if expect.victims is None:
        return
    allowed = known.all_of(expect.victims)
    others = [name for name in names if known.hogs.get(name) and not known.hogs[name] & allowed]
    calls = call.callers * call.repeat
    room = known.most(known.all_of(names) & allowed) + expect.collateral
    if known.least(others) * calls > expect.collateral or known.least(names) * calls > room:
        few = f"more are to die of it than expect.victims has of '{', '.join(names)}'"
        yield Fault(
            path,
            f"'{others[0]}' is not one of expect.victims" if others else few,
            "add it there, or count it as collateral",
            rests_on=(("expect", "victims"), ("expect", "collateral"), *_counts(step)),
        )


def _survivors(known: _Known, expect: Expect) -> Iterator[Fault]:
    path: Path = ("expect", "survivors")
    living = known.all_of(expect.survivors)
    for name in expect.victims or ():
        if name in expect.survivors or (known.hogs.get(name) and known.hogs[name] <= living):
            yield Fault(
                path, f"'{name}' is a victim as well", "decide", rests_on=(("expect", "victims"),)
            )


def _kills(known: _Known, calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield a number of dead that the names do not allow."""
    path: Path = ("expect", "kills")
    kills, steps = expect.kills, [("call", index) for index in range(len(calls))]
    rests_on: tuple[Path, ...] = (
        *(("expect", key) for key in ("victims", "survivors", "collateral")),
        *(path for step in steps for path in ((*step, "expect", "victims"), *_counts(step))),
    )
    by_calls = sum(known.least(c.expect.victims or ()) * c.callers * c.repeat for c in calls)
    least = max(known.least(expect.victims or ()), by_calls)
    most: float = inf
    living = known.all_of(expect.survivors)
    if expect.victims is not None:
        most = known.most(known.all_of(expect.victims) - living) + expect.collateral
    elif expect.survivors and not any(map(_of_the_machine, calls)):
        most = known.most(known.tasks.keys() - living)
    if kills and kills.high is not None and kills.high < least:
        yield Fault(path, f"{kills} is less than the {least} that are to die", _DECIDE, rests_on)
    if kills and kills.low > most:
        yield Fault(path, f"{kills} is more than the {most:g} that may die", _DECIDE, rests_on)
    nobody = most == 0 or (kills is not None and kills.high == 0)
    if expect.verdict and nobody and set(expect.verdict) <= _KILLING:
        what = f"nobody is to die, which is no {' or '.join(expect.verdict)}"
        yield Fault(("expect", "verdict"), what, _DECIDE, (*rests_on, path))


def _returns(calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield numbers of returns that cannot be, by how many calls there are and what they return."""
    path: Path = ("expect", "returns")
    made = [(set(call.expect.returns), call.callers * call.repeat) for call in calls]
    rests_on = tuple(
        key
        for index in range(len(calls))
        for key in (("call", index, "expect", "returns"), *_counts(("call", index)))
    )
    every = sum(count for _allowed, count in made)
    if (wanted := sum(span.low for span in expect.returns.values())) > every:
        what = f"{wanted} are more than the calls, which are {every}"
        yield Fault(path, what, _DECIDE, rests_on)
        return
    for value, span in expect.returns.items():
        low = sum(count for allowed, count in made if allowed == {value})
        high = sum(count for allowed, count in made if not allowed or value in allowed)
        if span.low > high or (span.high is not None and span.high < low):
            what = f"{span} of '{value}' cannot be: by what each call returns it is {low} to {high}"
            yield Fault(path, what, _DECIDE, rests_on)


def _verdict_and_calls(calls: tuple[Call, ...], expect: Expect) -> Iterator[Fault]:
    """Yield a verdict of the run, which is that of one of its calls, that none of them may have."""
    each = [set(call.expect.verdict) for call in calls]
    if expect.verdict and all(each) and not set(expect.verdict) & set().union(*each):
        yield Fault(
            ("expect", "verdict"),
            f"no call is to be {' or '.join(expect.verdict)}",
            _DECIDE,
            tuple(("call", index, "expect", "verdict") for index in range(len(calls))),
        )


def _without_call(expect: Expect) -> Iterator[Fault]:
    rests_on: tuple[Path, ...] = (("call",),)
    for key in OF_NO_CALL:
        if getattr(expect, key):
            what = "is for calls, and this scenario has none"
            yield Fault(("expect", key), what, "leave it out", rests_on)
    if expect.verdict and not set(expect.verdict) & set(VERDICTS_OF_NO_CALL):
        yield Fault(
            ("expect", "verdict"),
            f"without a call nothing is {' or '.join(expect.verdict)}",
            f"it is one of {', '.join(VERDICTS_OF_NO_CALL)}",
            rests_on,
        )


def _events(layout: Layout, expect: Expect) -> Iterator[Fault]:
    for cgroup, wanted in expect.cgroup.items():
        if cgroup not in layout.cgroups:
            yield Fault(
                ("expect", "cgroup", cgroup),
                f"there is no cgroup '{cgroup}' in this scenario",
                instead(cgroup, layout.cgroups),
                rests_on=(("cgroup", cgroup), ("hog",)),
            )
        for counter in wanted.events if cgroup == TOP else ():
            if counter in expect.events:
                yield Fault(
                    ("expect", "cgroup", cgroup, "events", counter),
                    f"is the same as expect.events.{counter}",
                    "leave one",
                )


def _of_the_machine(call: Call) -> bool:
    """Tell whether tasks that are not of the scenario may die of it."""
    return call.is_global or (call.target or TOP).startswith("/")


def _counts(step: Path) -> tuple[Path, ...]:
    return (*step, "callers"), (*step, "repeat")
