"""The experiment of a smoke case, in few words. Pure.

Paths are relative to the top cgroup, as in any draft: `.` is the top itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from oomctl.oom.plan import EVENTS, WAIT_ON_OOM_LOCK, Call, Expect, Hog, Plan, Range, Step
from oomctl.scenario.draft import Draft, Files
from oomctl.scenario.names import TOP

__all__ = ["TOP", "CaseSpec", "Files", "K", "M", "call", "hog", "spec"]

K, M = 1 << 10, 1 << 20
_COUNTED = TOP, EVENTS
SECONDS = 15.0
"""How long filling the hogs, a call, and the victims' exit may take; each."""


@dataclass(frozen=True)
class CaseSpec(Draft):
    """A draft with expectations, and without swap unless `files` says otherwise."""

    expect: Expect = field(default_factory=Expect)
    timeout: float = SECONDS

    def counting(self, **events: int) -> "CaseSpec":
        """Expect exactly these rises of counters of the top; the others stay as they are."""
        return self.rising(**{name: _exactly(n) for name, n in events.items()})

    def rising(self, **events: Range) -> "CaseSpec":
        """Expect these rises of counters of the top; the others stay as they are."""
        wanted = {**self.expect.events.get(_COUNTED, {}), **events}
        return replace(self, expect=replace(self.expect, events={_COUNTED: wanted}))

    def losing(self, *names: str) -> "CaseSpec":
        """Do not expect these hogs to survive: the case itself ends them."""
        left = tuple(name for name in self.expect.survivors if name not in names)
        return replace(self, expect=replace(self.expect, survivors=left))

    def losing_the_caller(self) -> "CaseSpec":
        """Expect one death, that of the caller."""
        return replace(self, expect=replace(self.expect, victims=None, kills=_exactly(1)))

    def plan(self, top: str, given: Collection[str] | None = None) -> Plan:
        """Return its plan in a fresh cgroup `top`."""
        files = {**self.files, TOP: {"memory.swap.max": "0", **self.files.get(TOP, {})}}
        return Draft.plan(replace(self, files=files), top, given)


def call(target: str | None = TOP, order: int = 0, flags: int = WAIT_ON_OOM_LOCK) -> Call:
    """Return a call on a cgroup of the tree, or on the whole system for None."""
    return Call(target, order, flags)


def spec(
    *hogs: Hog,
    dies: Sequence[str] = (),
    returns: str = "1",
    calls: Sequence[Call | Step] = (call(),),
    files: Files | None = None,
    group_kills: int = 0,
    collateral: int = 0,
    timeout: float = SECONDS,
    cgroups: Sequence[str] = (),
) -> CaseSpec:
    """Return an experiment in which exactly the hogs `dies` die, and every call returns `returns`.

    `oom_kill` of the top should rise by one for each death, and may rise by one more for each group
    that is killed: the kernel counts the first victim of a group twice unless it has exited by then
    (mm/oom_kill.c, oom_kill_process()). `oom` and `max` belong to limits and should not rise.
    `collateral` tasks die uncounted, because they share a victim's memory.
    """
    steps = tuple(each if isinstance(each, Step) else Step(each) for each in calls)
    made = sum(step.callers * step.repeat for step in steps)
    expect = Expect(
        victims=tuple(dies),
        survivors=tuple(hog.name for hog in hogs if hog.name not in dies),
        collateral=collateral,
        kills=_exactly(len(dies) + collateral),
        returns={returns: _exactly(made)} if returns else {},
        events={
            _COUNTED: {
                "oom": _exactly(0),
                "max": _exactly(0),
                "oom_kill": Range(len(dies), len(dies) + group_kills),
                "oom_group_kill": _exactly(group_kills),
            }
        },
    )
    return CaseSpec(hogs, files or {}, steps, expect, tuple(cgroups), timeout)


def hog(name: str, size: int, adj: int = 0, at: str = "") -> Hog:
    """Return a hog of `size` bytes of anonymous memory, in a leaf of its own or in cgroup `at`."""
    return Hog(name, size, adj, at)


def _exactly(count: int) -> Range:
    return Range(count, count)
