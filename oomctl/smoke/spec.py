"""A case's experiment in few words, to be placed into a tree of its own. Pure.

Paths are relative to the top of that tree: `.` is the top itself. A hog lives in a leaf of its own
name unless it says where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oomctl.oom.plan import EVENTS, WAIT_ON_OOM_LOCK, Call, Expect, Hog, Plan, Range, Setting, Step

K, M = 1 << 10, 1 << 20
TOP = "."
_COUNTED = TOP, EVENTS
SECONDS = 15.0
"""How long the filling of the hogs, a call, and its victims' end may take; each."""

Files = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class CaseSpec:
    """Hogs, what is written into which cgroup before they come, calls, and what is expected."""

    hogs: tuple[Hog, ...] = ()
    files: Files = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    expect: Expect = field(default_factory=Expect)
    cgroups: tuple[str, ...] = ()
    """Cgroups that no hog lives in."""
    timeout: float = SECONDS

    def counting(self, **events: int) -> "CaseSpec":
        """Expect just these rises of counters, instead of what is usual."""
        return self.rising(**{name: _exactly(n) for name, n in events.items()})

    def rising(self, **events: Range) -> "CaseSpec":
        """Expect such rises of counters of the top, instead of what is usual."""
        wanted = {**self.expect.events.get(_COUNTED, {}), **events}
        return replace(self, expect=replace(self.expect, events={_COUNTED: wanted}))

    def losing(self, *names: str) -> "CaseSpec":
        """Let these hogs end by other hands."""
        left = tuple(name for name in self.expect.survivors if name not in names)
        return replace(self, expect=replace(self.expect, survivors=left))

    def losing_the_caller(self) -> "CaseSpec":
        """Expect that who declares is the one who dies."""
        return replace(self, expect=replace(self.expect, victims=None, kills=_exactly(1)))

    def plan(self, top: str) -> Plan:
        """Place it into the cgroup `top`, which is made for it."""
        hogs = tuple(replace(hog, cgroup=self._home(hog)) for hog in self.hogs)
        wanted = [*self.files, *self.cgroups, *(hog.cgroup for hog in hogs)]
        wanted += [hog.sharer for hog in hogs if hog.sharer]
        wanted += [step.caller_cgroup for step in self.steps if step.caller_cgroup]
        cgroups = list(dict.fromkeys(up for path in (TOP, *wanted) for up in _down_to(path)))
        inner = {_above(path) for path in cgroups if path != TOP}
        settings = [Setting("/", "cgroup.subtree_control", "+memory")]
        for path in cgroups:
            files = {"memory.swap.max": "0"} if path == TOP else {}
            settings += [
                Setting(_at(top, path), name, value, optional="swap" in name)
                for name, value in {**files, **self.files.get(path, {})}.items()
            ]
            if path in inner:
                settings.append(Setting(_at(top, path), "cgroup.subtree_control", "+memory"))
        return Plan(
            cgroups=tuple(_at(top, path) for path in cgroups),
            settings=tuple(settings),
            hogs=tuple(
                replace(
                    hog, cgroup=_at(top, hog.cgroup), sharer=hog.sharer and _at(top, hog.sharer)
                )
                for hog in hogs
            ),
            steps=tuple(_placed(step, top) for step in self.steps),
            top=top,
            timeout=self.timeout,
            expect=replace(
                self.expect,
                events={
                    (_at(top, cgroup), file): counters
                    for (cgroup, file), counters in self.expect.events.items()
                },
            ),
        )

    @staticmethod
    def _home(hog: Hog) -> str:
        return hog.cgroup or hog.name


def call(target: str | None = TOP, order: int = 0, flags: int = WAIT_ON_OOM_LOCK) -> Call:
    """Return a declaration on a cgroup of the tree, or on the whole system for None."""
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
    """Draw an experiment in which just the hogs named by `dies` die, and every call returns alike.

    `oom_kill` of the top should rise by one for each death, and may rise by one more for each group
    that is killed: the kernel counts the first victim of a group twice unless it is gone by then
    (mm/oom_kill.c, oom_kill_process). `oom` and `max` belong to limits and should not move.
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
    """Return a hog of so many bytes of anonymous memory, in a cgroup of its own or `at` another."""
    return Hog(name, size, adj, at)


def _exactly(count: int) -> Range:
    return Range(count, count)


def _at(top: str, path: str) -> str:
    return top if path == TOP else f"{top}/{path}"


def _placed(step: Step, top: str) -> Step:
    target = step.call.target
    placed = None if target is None else _at(top, target)
    home = step.caller_cgroup and _at(top, step.caller_cgroup)
    return replace(step, call=replace(step.call, target=placed), caller_cgroup=home)


def _above(path: str) -> str:
    return path.rpartition("/")[0] or TOP


def _down_to(path: str) -> list[str]:
    """Return the cgroups from the top down to a path."""
    if path == TOP:
        return [TOP]
    return [*_down_to(_above(path)), path]
