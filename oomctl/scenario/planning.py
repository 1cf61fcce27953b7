"""Turns a scenario into a plan: every path, size and flag literal. Pure, and cheap to import."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oomctl.oom import plan as plans
from oomctl.oom.enums import Context
from oomctl.oom.plan import STALL, Hog, Plan, Step, Sysctl
from oomctl.scenario.actions import actions
from oomctl.scenario.draft import Draft
from oomctl.scenario.fault import ScenarioError
from oomctl.scenario.names import TOP
from oomctl.scenario.values import Percent

if TYPE_CHECKING:
    from oomctl.scenario.layout import Layout, Member
    from oomctl.scenario.model import Call, Expect
    from oomctl.scenario.scenario import Scenario

_HOLD = 1.0  # the kernel wakes its reaper after 2 s (mm/oom_kill.c, OOM_REAPER_DELAY)


@dataclass(frozen=True)
class Existing:
    """An existing cgroup that hogs are put into, and its cgroup.subtree_control."""

    cgroup: str
    children_get: Collection[str]


@dataclass(frozen=True)
class Site:
    """Where plans are carried out: `fresh_name` names a top cgroup that no other run has.

    `memory` are the bytes of the machine. `parent` is the existing cgroup that the top is made in,
    `timeout` the limit in seconds; None for the scenario's own.
    """

    fresh_name: Callable[[], str]
    memory: int
    parent: str | None = None
    timeout: float | None = None
    existing: Existing | None = None
    """The cgroup that the hogs are put into, instead of fresh ones."""


def plan(scenario: "Scenario", site: Site) -> Plan:
    """Make the plan of one round; ScenarioError if the machine is too small for it."""
    return planner(scenario, site)()


def planner(scenario: "Scenario", site: Site) -> Callable[[], Plan]:
    """Return what makes the plan of each round: they differ by the fresh name only."""
    from oomctl.scenario import rules
    from oomctl.scenario.layout import Layout

    layout = Layout(scenario.file, site.memory)
    if faults := list(rules.faults(layout)):
        raise ScenarioError(map(scenario.origin, faults))
    draft = _Drafter(layout).draft()
    if site.timeout is not None:
        draft = replace(draft, timeout=site.timeout)
    parent = site.parent or scenario.file.parent or "/"

    def planned() -> Plan:
        if site.existing is not None:
            return _in_existing(draft, site.existing, site.fresh_name())
        return draft.plan(f"{parent.rstrip('/')}/{site.fresh_name()}")

    return planned


def _in_existing(draft: Draft, existing: Existing, name: str) -> Plan:
    """Put the hogs of a draft into an existing cgroup, no setting of which is changed.

    A cgroup that gives controllers to its children may hold no processes itself
    (kernel/cgroup/cgroup.c, cgroup_migrate_vet_dst()); the hogs then get leaves in a new cgroup
    below it, named `name`.
    """
    if existing.children_get:
        draft = replace(draft, files={each: {} for each in draft.files})
    else:
        hogs = tuple(replace(hog, cgroup=existing.cgroup) for hog in draft.hogs)
        draft = replace(draft, files={}, hogs=hogs)
    top = f"{existing.cgroup.rstrip('/')}/{name}"
    return replace(draft.plan(top, existing.children_get), top=existing.cgroup)


@dataclass(frozen=True)
class _Drafter:
    """Makes the parts of one draft."""

    layout: "Layout"

    def draft(self) -> Draft:
        file = self.layout.file
        named = file.hog or file.cgroup or file.step
        fresh = bool(named) or any(call.on_tree for call in file.calls)
        return Draft(
            hogs=tuple(map(self._hog, self.layout.members)),
            files={each: self._files(each) for each in self.layout.declared} if fresh else {},
            steps=tuple(map(self._step, file.calls)),
            expect=None if file.expect is None else _expect(file.expect),
            timeout=file.timeout,
            sysctls=tuple(Sysctl(name, value) for name, value in file.sysctl.items()),
            actions=tuple(actions(self.layout)),
        )

    def _files(self, cgroup: str) -> Mapping[str, str]:
        given = {
            file: str(
                int(value) if isinstance(value, bool) else self.layout.setting(cgroup, file, value)
            )
            for file, value in self.layout.settings(cgroup).files()
        }
        if cgroup == TOP:
            if given.get("memory.swap.max", "0") == "0":  # the same plan if it is given or not
                given.pop("memory.swap.max", None)
                given["memory.swap.max"] = "0"
            else:  # pages reach zswap only on their way to swap
                given.setdefault("memory.zswap.max", "0")
        return given

    def _hog(self, member: "Member") -> Hog:
        entry = member.table
        size = self.layout.size(member) or 0
        traced = entry.kind == "traced"
        return Hog(
            name=member.name,
            size=size,
            oom_score_adj=entry.oom_score_adj,
            cgroup=member.cgroup,
            kind=entry.kind,
            comm=entry.comm or "",
            entry=member.entry,
            thp=entry.thp,
            rate=entry.rate,
            working_set=_part(entry.working_set or 0, size),
            tasks=entry.tasks or 1,
            leader_exits=entry.leader_exits,
            sharer=entry.sharer or "",
            hold=_HOLD if traced and entry.hold is None else entry.hold or 0.0,
            path=entry.path or "",
            may_fail=entry.may_fail,
        )

    def _step(self, call: "Call") -> Step:
        target = None if call.is_global else call.target or TOP
        recheck = call.recheck
        return Step(
            call=plans.Call(
                target=target,
                order=call.order or 0,
                flags=0 if recheck else plans.flags_of(call.wait, call.flags, call.is_global),
                via=call.via,
                context=call.context or Context.SYSCALL,
                stall=STALL if call.stall is None else call.stall,
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

    def _share(self, target: str | None, amount: int | Percent) -> int:
        return self.layout.share(target or TOP, amount) or 0


def _expect(expect: "Expect") -> plans.Expect:
    events = {(TOP, plans.EVENTS): expect.events}
    for cgroup, wanted in expect.cgroup.items():
        key = cgroup, plans.EVENTS
        events[key] = {**events.get(key, {}), **wanted.events}
        events[cgroup, plans.EVENTS_LOCAL] = wanted.events_local
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


def _part(amount: int | Percent, whole: int) -> int:
    return amount.of(whole) if isinstance(amount, Percent) else amount
