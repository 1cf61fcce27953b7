"""The kills of one period as four sources count them, and why the counts differ. Pure.

For each process that it kills, __oom_kill_process() (mm/oom_kill.c) raises oom_kill of /proc/vmstat
and of the memory.events of the process's memcg and of those above it, sends SIGKILL, and prints
"Killed process". So these counts are equal but for what the rules explain.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from oomctl.oom.enums import CountRule, CountSource, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.paths import is_within

Counts = Mapping[CountSource, int | None]
"""How many kills each source has counted; None if it cannot tell."""


@dataclass(frozen=True)
class Difference:
    """By how many kills a source differs from what the kernel counted, and the rule that says why.

    `number` is positive if the source has fewer; `rule` is None if none explains it.
    """

    source: CountSource
    number: int
    rule: CountRule | None


@dataclass(frozen=True)
class CountFacts:
    """What is known of the kills in a period, apart from the counts.

    `repeated` are records of a process that had one: a group's first victim. `sharers` and
    `exiting` are traced processes of these roles. `outside` are kills in no watched cgroup,
    `unplaced` those in an unknown one, or in one that was made or removed in the period. `silent`
    says that programs of the observer did not run.
    """

    repeated: int = 0
    sharers: int = 0
    exiting: int = 0
    outside: int = 0
    unplaced: int = 0
    events_lost: int = 0
    records_lost: int = 0
    silent: bool = False


@dataclass(frozen=True)
class KillCounts:
    """The counts of one period and all their differences."""

    counts: Counts
    differences: tuple[Difference, ...] = ()

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """The differences that no rule explains."""
        return tuple(each for each in self.differences if each.rule is None)


def reconcile_counts(counts: Counts, facts: CountFacts) -> KillCounts:
    """Explain by rule, source by source, how each count differs from that of /proc/vmstat.

    Without /proc/vmstat the kernel log is what the others are held against.
    """
    logged = counts.get(CountSource.KERNEL_LOG)
    kills = counts.get(CountSource.VMSTAT)
    if kills is None:
        kills = logged
    if kills is None:
        return KillCounts(counts)
    unlogged = 0 if logged is None else max(kills - logged, 0)
    differences = [
        *_explain(CountSource.KERNEL_LOG, counts, kills, (CountRule.LOST, facts.records_lost)),
        *_explain(
            CountSource.TRACING,
            counts,
            kills,
            *((CountRule.LOST, facts.events_lost), (CountRule.SILENT, facts.silent * kills)),
            known=[
                (CountRule.REPEATED, facts.repeated),
                (CountRule.SHARER, -facts.sharers),
                (CountRule.EXITING, -facts.exiting),
            ],
        ),
        *_explain(
            CountSource.MEMORY_EVENTS,
            counts,
            kills,
            (CountRule.UNPLACED, facts.unplaced + unlogged),
            known=[(CountRule.ELSEWHERE, facts.outside)],
        ),
    ]
    return KillCounts(counts, tuple(differences))


def _explain(
    source: CountSource,
    counts: Counts,
    kills: int,
    *possible: tuple[CountRule, int],
    known: Sequence[tuple[CountRule, int]] = (),
) -> Iterable[Difference]:
    """Yield the differences of a source: `known` ones, and of `possible` the first that suffices.

    A possible rule explains that up to so many kills are missing.
    """
    count = counts.get(source)
    if count is None:
        return
    yield from (Difference(source, number, rule) for rule, number in known if number)
    missing = kills - sum(number for _rule, number in known) - count
    if missing:
        enough = (rule for rule, most in possible if 0 < missing <= most)
        yield Difference(source, missing, next(enough, None))


@dataclass(frozen=True)
class EventCounter:
    """oom_kill in the memory.events of a watched cgroup, None while there is no such file.

    `same` says that it was one cgroup throughout, not removed and made again.
    """

    before: int | None
    after: int | None
    same: bool = True

    @property
    def rise(self) -> int:
        """What was counted in the period, as far as it can be read."""
        return (self.after or 0) - ((self.before or 0) if self.same else 0)


def place(
    facts: CountFacts, counters: Mapping[str, EventCounter], cgroups: Iterable[str | None]
) -> CountFacts:
    """Add to the facts where the kills were; `cgroups` has the victim's for each of them.

    A victim in the root, or in a cgroup without memory.events, is in no watched cgroup.
    """
    outside = unplaced = 0
    for cgroup in cgroups:
        found = [counter for top, counter in counters.items() if cgroup and is_within(cgroup, top)]
        if cgroup is None or any(not each.same for each in found):
            unplaced += 1
        elif all(each.after is None for each in found):
            outside += 1
    return replace(facts, outside=outside, unplaced=unplaced)


def traced_facts(facts: CountFacts, kills: Iterable[OomKill]) -> CountFacts:
    """Add to the facts the roles of the traced kills."""
    roles = [kill.role for kill in kills]
    return replace(facts, sharers=roles.count(Role.SHARER), exiting=roles.count(Role.EXITING))
