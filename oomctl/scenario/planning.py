"""From a scenario to a plan: every path, size and flag literal. Pure, and cheap to import."""

import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from oomctl.oom import plan as plans
from oomctl.oom.plan import Hog, Plan, Setting, Step, Sysctl
from oomctl.scenario.fault import ScenarioError
from oomctl.scenario.names import TOP
from oomctl.scenario.values import Percent

if TYPE_CHECKING:
    from oomctl.scenario.layout import Layout, Member
    from oomctl.scenario.model import Call, Expect
    from oomctl.scenario.sizes import Sizes
    from oomctl.scenario.written import Scenario

_HOLD = 1.0  # the kernel wakes its reaper after 2 s


@dataclass(frozen=True)
class Site:
    """Where a plan is carried out: the name of its top cgroup, which no other run may have.

    `memory` are the bytes of the machine; `parent` is the existing cgroup that the top is made in,
    None for the scenario's, which is the hierarchy's root if it names none.
    """

    name: str
    memory: int
    parent: str | None = None


def plan(scenario: "Scenario", site: Site) -> Plan:
    """Make the plan of one round; ScenarioError where the machine is too small for it."""
    from oomctl.scenario.rules import rules

    sizes = scenario.sizes(site.memory)
    if faults := list(rules.faults(sizes)):
        raise ScenarioError(map(scenario.origin, faults))
    return _Planner(sizes, site).plan()


def unique_name() -> str:
    """Return a name for a top cgroup that no other run has."""
    return f"oomctl-{os.getpid()}-{secrets.token_hex(3)}"


def borrow(
    plan: Plan, target: str, hogs: Sequence[Hog], name: str, children_get: Collection[str]
) -> Plan:
    """Turn the calls of a plan to an existing cgroup, and put hogs there; change no setting of it.

    `children_get` is its cgroup.subtree_control. A cgroup that gives controllers to its children
    may not hold processes itself, so hogs get leaves below it, in a cgroup of this `name`; else
    they join it as they are.
    """
    steps = tuple(replace(step, call=replace(step.call, target=target)) for step in plan.steps)
    moved = replace(plan, cgroups=(), settings=(), hogs=(), steps=steps, top=target)
    if not hogs:
        return moved
    if not children_get:
        return replace(moved, hogs=tuple(replace(hog, cgroup=target) for hog in hogs))
    inside = f"{target.rstrip('/')}/{name}"
    placed = tuple(replace(hog, cgroup=f"{inside}/{hog.name}") for hog in hogs)
    settings = (_controller(inside, "memory"),) if "memory" in children_get else ()
    cgroups = (inside, *(hog.cgroup for hog in placed))
    return replace(moved, cgroups=cgroups, settings=settings, hogs=placed)


@dataclass(frozen=True)
class _Planner:
    """Makes the parts of one plan."""

    sizes: "Sizes"
    site: Site

    def plan(self) -> Plan:
        file = self._layout.file
        fresh = bool(file.hog or file.cgroup) or any(map(_on_ours, file.calls))
        steps = tuple(self._step(call) for call in file.calls)
        targets = (step.call.target for step in steps if step.call.target is not None)
        top = self._top if fresh else next(targets, None)
        return Plan(
            cgroups=tuple(map(self._path, self._layout.cgroups)) if fresh else (),
            settings=tuple(self._settings()) if fresh else (),
            hogs=tuple(map(self._hog, self._layout.members)),
            steps=steps,
            top=top,
            sysctls=tuple(Sysctl(name, value) for name, value in file.sysctl.items()),
            timeout=file.timeout,
            expect=None if file.expect is None else self._expect(file.expect, top or ""),
        )

    @property
    def _layout(self) -> "Layout":
        return self.sizes.layout

    @property
    def _parent(self) -> str:
        return self.site.parent or self._layout.file.parent or "/"

    @cached_property
    def _top(self) -> str:
        return f"{self._parent.rstrip('/')}/{self.site.name}"

    def _path(self, cgroup: str) -> str:
        """Return a cgroup's path inside the hierarchy."""
        if cgroup.startswith("/"):
            return cgroup
        return self._top if cgroup == TOP else f"{self._top}/{cgroup}"

    def _settings(self) -> Iterator[Setting]:
        from oomctl.scenario.layout import above

        layout = self._layout
        counted = [each for each in layout.cgroups if layout.settings(each).pids.max is not None]
        counting = {up for each in counted for up in above(each)}
        yield _controller(self._parent, "memory")
        if counted:
            yield _controller(self._parent, "pids")
        for cgroup in layout.declared:
            path = self._path(cgroup)
            for file, value in self._files(cgroup).items():
                # no swap is what a kernel without it has; any other wish must come true
                optional = value == 0 and "swap" in file
                yield Setting(path, file, str(value), optional)
            if cgroup in layout.inner:
                yield _controller(path, "memory")
                if cgroup in counting:
                    yield _controller(path, "pids")

    def _files(self, cgroup: str) -> dict[str, Any]:
        given = {
            file: int(value) if isinstance(value, bool) else self.sizes.setting(cgroup, file, value)
            for file, value in self._layout.settings(cgroup).files()
        }
        if cgroup == TOP:
            if given.get("memory.swap.max", 0) == 0:  # the same plan whether it was given or not
                given.pop("memory.swap.max", None)
                given["memory.swap.max"] = 0
            else:  # without swap nothing gets as far as to zswap
                given.setdefault("memory.zswap.max", 0)
        return given

    def _hog(self, member: "Member") -> Hog:
        entry = member.table
        size = self.sizes.hog(member) or 0
        traced = entry.kind == "traced"
        return Hog(
            name=member.name,
            size=size,
            oom_score_adj=entry.oom_score_adj,
            cgroup=self._path(member.cgroup),
            kind=entry.kind,
            comm=entry.comm or "",
            entry=member.entry,
            thp=entry.thp,
            rate=entry.rate,
            working_set=_part(entry.working_set or 0, size),
            tasks=entry.tasks or 1,
            sharer=self._path(entry.sharer) if entry.sharer else "",
            hold=_HOLD if traced and entry.hold is None else entry.hold or 0.0,
            path=entry.path or "",
            may_fail=entry.may_fail,
        )

    def _step(self, call: "Call") -> Step:
        target = None if call.is_global else call.target or TOP
        recheck = call.recheck
        return Step(
            call=plans.Call(
                target=None if target is None else self._path(target),
                order=call.order,
                flags=0 if recheck else plans.flags_of(call.wait, call.flags, call.is_global),
                via=call.via,
                amount=None if call.amount is None else self._share(target, call.amount),
            ),
            callers=call.callers,
            repeat=call.repeat,
            delay=call.delay,
            until=call.until,
            recheck=None
            if recheck is None
            else plans.Recheck(self._share(target, recheck.above), recheck.every),
            expect=plans.CallExpect(
                returns=call.expect.returns,
                verdicts=call.expect.verdict,
                victims=call.expect.victims,
            ),
        )

    def _expect(self, expect: "Expect", top: str) -> plans.Expect:
        events = {(top, plans.EVENTS): expect.events}
        for cgroup, wanted in expect.cgroup.items():
            path = top if cgroup == TOP else self._path(cgroup)
            events[path, plans.EVENTS] = {**events.get((path, plans.EVENTS), {}), **wanted.events}
            events[path, plans.EVENTS_LOCAL] = wanted.events_local
        return plans.Expect(
            verdicts=expect.verdict,
            victims=expect.victims,
            survivors=expect.survivors,
            collateral=expect.collateral,
            kills=expect.kills,
            returns=expect.returns,
            events={place: counters for place, counters in events.items() if counters},
            latency=expect.latency,
        )

    def _share(self, target: str | None, amount: int | Percent) -> int:
        return self.sizes.share(target or TOP, amount) or 0


def _on_ours(call: "Call") -> bool:
    return not call.is_global and not (call.target or TOP).startswith("/")


def _controller(cgroup: str, name: str) -> Setting:
    return Setting(cgroup, "cgroup.subtree_control", f"+{name}")


def _part(amount: int | Percent, whole: int) -> int:
    return amount.of(whole) if isinstance(amount, Percent) else amount
