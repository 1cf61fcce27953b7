"""The kills of one period as four sources count them, and why the counts differ. Pure.

For each process that it kills, __oom_kill_process() (mm/oom_kill.c) raises oom_kill of /proc/vmstat
and of the memory.events of the process's memcg and of those above it, sends SIGKILL, and prints
"Killed process". So these counts are equal but for what the rules explain.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from oomctl.oom.enums import CountRule, CountSource, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.log import reporttext
from oomctl.oom.log.logrecord import Record
from oomctl.oom.paths import is_within

Counts = Mapping[CountSource, int | None]
"""How many kills each source has counted; None if it cannot tell."""

_AGAIN_US = 10_000_000  # within this time a PID is not used again
_MOST_PLACES = 4096


@dataclass(frozen=True)
class Difference:
    """By how many kills a source differs from what the kernel has counted, and the rule for it.

    `number` is positive if the source has fewer; `rule` is None if none explains it.
    """

    source: CountSource
    number: int
    rule: CountRule | None


@dataclass(frozen=True)
class KillCounts:
    """The counts of one period and all their differences.

    `suppressed` are the reports that the kernel's rate limit left out of the log: that lacks no
    kill, only what it says of these.
    """

    counts: Counts
    differences: tuple[Difference, ...] = ()
    suppressed: int = 0

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """The differences that no rule explains."""
        return tuple(each for each in self.differences if each.rule is None)


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


def reconcile_counts(counts: Counts, facts: CountFacts) -> tuple[Difference, ...]:
    """Explain by rule, source by source, how each count differs from that of /proc/vmstat.

    Without /proc/vmstat the kernel log is what the others are held against.
    """
    kills = counts.get(CountSource.VMSTAT)
    if kills is None:
        kills = counts.get(CountSource.KERNEL_LOG)
    if kills is None:
        return ()
    roles = [
        (CountRule.REPEATED, facts.repeated),
        (CountRule.SHARER, -facts.sharers),
        (CountRule.EXITING, -facts.exiting),
    ]
    silent = kills if facts.silent else 0
    rules = {
        CountSource.TRACING: (
            roles,
            [(CountRule.LOST, facts.events_lost), (CountRule.SILENT, silent)],
        ),
        CountSource.KERNEL_LOG: ([], [(CountRule.LOST, facts.records_lost)]),
        CountSource.MEMORY_EVENTS: (
            [(CountRule.ELSEWHERE, facts.outside)],
            [(CountRule.UNPLACED, facts.unplaced)],
        ),
    }
    return tuple(
        difference
        for source, (known, possible) in rules.items()
        if (count := counts.get(source)) is not None
        for difference in _explain(source, kills - count, known, possible)
    )


def _explain(
    source: CountSource,
    missing: int,
    known: Iterable[tuple[CountRule, int]],
    possible: Iterable[tuple[CountRule, int]],
) -> Iterator[Difference]:
    """Yield what makes up the `missing` kills of a source.

    Each of the `known` rules explains exactly its number; the first of the `possible` ones whose
    number is large enough explains the rest.
    """
    for rule, number in known:
        if number:
            yield Difference(source, number, rule)
            missing -= number
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


@dataclass(frozen=True)
class CounterRises:
    """The rise of oom_kill in /proc/vmstat, None if unknown, and the watched cgroups by path."""

    vmstat: int | None
    cgroups: Mapping[str, EventCounter]

    @property
    def events(self) -> int | None:
        """What the watched cgroups have counted; None if none of them has a memory.events."""
        counted = [
            each for each in self.cgroups.values() if (each.before, each.after) != (None,) * 2
        ]
        return sum(each.rise for each in counted) if counted else None


class KillTally:
    """Gathers the records and kills of a period; its memory is bounded however long that is."""

    def __init__(self) -> None:
        self._logged = self._traced = self._suppressed = 0
        self._roles: Counter[Role] = Counter()
        self._repeated: Counter[int] = Counter()
        self._places: Counter[str | None] = Counter()
        self._killed_us: dict[int, int] = {}
        self._all_repeated = 0

    def add_records(self, records: Iterable[Record], threads: Mapping[int, int]) -> None:
        """Count the records "Killed process"; `threads` has the processes of TIDs."""
        for record in records:
            if not record.text.startswith(reporttext.ENDS):
                continue
            if found := reporttext.SUPPRESSED.fullmatch(record.text):
                self._suppressed += int(found["count"])
            if record.continued or not (found := reporttext.KILLED.fullmatch(record.text)):
                continue
            pid = threads.get(int(found["pid"]), int(found["pid"]))
            self._logged += 1
            before = self._killed_us.pop(pid, None)
            if before is not None and record.time_us - before < _AGAIN_US:
                self._repeated[pid] += 1
                self._all_repeated += 1
            self._killed_us[pid] = record.time_us
            if len(self._killed_us) > _MOST_PLACES:
                del self._killed_us[next(iter(self._killed_us))]

    def add_kills(self, kills: Iterable[OomKill]) -> None:
        """Take kills with all that is known of them, after their records."""
        for kill in kills:
            self._traced += kill.traced
            self._roles[kill.role] += kill.traced
            if kill.role == Role.VICTIM:
                place = kill.cgroup if len(self._places) < _MOST_PLACES else None
                self._places[place] += 1 + self._repeated.pop(kill.pid, 0)

    def reconcile(
        self, rises: CounterRises, lost: tuple[int, int], *, tracing: bool, silent: bool
    ) -> KillCounts:
        """Return the counts and their differences; `lost` counts events and log records."""
        counts = {
            CountSource.TRACING: self._traced if tracing else None,
            CountSource.KERNEL_LOG: self._logged,
            CountSource.MEMORY_EVENTS: rises.events,
            CountSource.VMSTAT: rises.vmstat,
        }
        outside, unplaced = placed(self._places, rises.cgroups)
        kills = self._logged if rises.vmstat is None else rises.vmstat
        facts = CountFacts(
            self._all_repeated,
            self._roles[Role.SHARER],
            self._roles[Role.EXITING],
            outside,
            unplaced + max(kills - self._places.total(), 0),
            *lost,
            silent,
        )
        return KillCounts(counts, reconcile_counts(counts, facts), self._suppressed)


def placed(
    places: Mapping[str | None, int], counters: Mapping[str, EventCounter]
) -> tuple[int, int]:
    """Return how many kills were outside the watched cgroups, and how many cannot be placed.

    `places` has the number of kills by the victim's cgroup. A victim in the root, or in a cgroup
    without memory.events, is outside.
    """
    outside = unplaced = 0
    for cgroup, number in places.items():
        found = [counter for top, counter in counters.items() if cgroup and is_within(cgroup, top)]
        if cgroup is None or any(not each.same for each in found):
            unplaced += number
        elif all(each.after is None for each in found):
            outside += number
    return outside, unplaced
