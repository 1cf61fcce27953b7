"""Statistics of the rounds of one variant, how they are added up, and tests of shares. Pure."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TypeVar

from oomctl.rounds.round import TIMES, Called, Casualty, Round

Key = TypeVar("Key")

WAITING, NOT_WAITING = "wait", "no wait"

_MOST = 2000
Z95 = 1.959963984540054
"""The normal deviate that 95 % lie within."""


@dataclass(frozen=True)
class CheckTally:
    """One expectation over all rounds; in the remaining rounds it could not be tested.

    `first` is the number of the first round in which it failed, `why` what was found there.
    """

    name: str
    held: int = 0
    failed: int = 0
    first: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Occurrences:
    """How many times something happened, and in how many rounds."""

    times: int
    rounds: int


NEVER = Occurrences(0, 0)


@dataclass(frozen=True)
class Share:
    """`count` out of `of`."""

    count: int
    of: int


@dataclass(frozen=True)
class Rechecks:
    """Callers that try again instead of waiting for oom_lock.

    `spared` of them found the memory freed before they got in; `busy` of all `tries` failed
    because the lock was held.
    """

    callers: int = 0
    spared: int = 0
    tries: int = 0
    busy: int = 0


@dataclass(frozen=True)
class Distribution:
    """Percentiles by nearest rank, so each is a number that was measured.

    p95 needs 20 numbers, p99 needs 100; with fewer it would be the maximum, so it is None.
    """

    n: int = 0
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None
    max: int | None = None


@dataclass
class Statistics:
    """The rounds of one variant; times in ns, sizes in bytes.

    `ran` counts the rounds that have an outcome, `held` those in which every expectation held (None
    without expectations). `contention` is the share of EBUSY among simultaneous calls, with and
    without waiting. `log_bytes` is per round; `rises` sums memory.events of the top cgroup over all
    rounds. `round_times` has the medians of rounds, of very many 1000 to 2000, evenly spaced.
    `dying` and `own_rss` have the first and the last value.
    """

    variant: str
    rounds: int = 0
    ran: int = 0
    took_ns: int = 0
    held: int | None = None
    checks: tuple[CheckTally, ...] = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    call_verdicts: dict[str, Occurrences] = field(default_factory=dict)
    returns: dict[str, Occurrences] = field(default_factory=dict)
    casualties: dict[Casualty, Occurrences] = field(default_factory=dict)
    contention: dict[str, Share] = field(default_factory=dict)
    rechecks: Rechecks = Rechecks()
    times: Mapping[str, Distribution] = field(default_factory=dict)
    round_times: Mapping[str, Sequence[int]] = field(default_factory=dict)
    log_bytes: Distribution = Distribution()
    log_bytes_in_all: int = 0
    rises: Mapping[str, int] = field(default_factory=dict)
    dying: tuple[int, int] | None = None
    own_rss: tuple[int, int] | None = None

    @property
    def passed(self) -> bool | None:
        """Whether every expectation held in every round; None without expectations."""
        return None if self.held is None else self.held == self.rounds

    @property
    def rate(self) -> float | None:
        """Rounds per second of the time that the rounds took."""
        return self.rounds / (self.took_ns / 1e9) if self.took_ns else None


class Spaced:
    """Keeps at most 2000 numbers of a series of any length, evenly spaced."""

    def __init__(self) -> None:
        self.kept = array("q")
        self._seen, self._step = 0, 1

    def add(self, number: int) -> None:
        """Take the next number."""
        if self._seen % self._step == 0:
            self.kept.append(number)
        self._seen += 1
        if len(self.kept) > _MOST:
            del self.kept[1::2]
            self._step *= 2


class Tally:
    """Adds up rounds; of each it keeps only a few numbers in arrays, so long runs fit memory."""

    def __init__(self, variant: str, judged: bool = False) -> None:
        self._sums = Statistics(variant)
        self._judged = judged
        self._held = 0
        self._checks: dict[str, CheckTally] = {}
        self._verdicts: Counter[str] = Counter()
        self._times = {name: array("q") for name in TIMES}
        self._medians = {name: Spaced() for name in TIMES}
        self._log_bytes = array("q")
        self._rises: Counter[str] = Counter()

    def add(self, one: Round) -> None:
        """Add one round."""
        sums = self._sums
        sums.rounds += 1
        sums.took_ns += one.took_ns
        sums.reasons.setdefault(one.verdict, one.reason)
        self._judged |= bool(one.checks)
        self._held += one.held
        self._verdicts[one.verdict] += 1
        if not one.ran:
            return
        sums.ran += 1
        for check in one.checks:
            self._check(one.number, check.name, check.passed, check.why)
        for call in one.calls:
            self._call(call)
        _count(sums.call_verdicts, [call.verdict for call in one.calls])
        _count(sums.returns, [call.returned for call in one.calls])
        _count(sums.casualties, one.casualties)
        for name, durations in one.times.items():
            self._times[name].extend(durations)
            self._medians[name].add(nearest_rank(sorted(durations), 50))
        self._log_bytes.append(one.log_bytes)
        for name, rise in one.rises.items():
            self._rises[name] += rise
        sums.dying = _first_and_last(sums.dying, one.dying)
        sums.own_rss = _first_and_last(sums.own_rss, one.own_rss)

    def _check(self, number: int, name: str, passed: bool | None, why: str) -> None:
        tally = self._checks.get(name, CheckTally(name))
        failed = passed is False
        if failed and tally.first is None:
            tally = replace(tally, first=number, why=why)
        self._checks[name] = replace(
            tally, held=tally.held + (passed is True), failed=tally.failed + failed
        )

    def _call(self, call: Called) -> None:
        sums = self._sums
        sums.calls += 1
        busy = call.returned == "-EBUSY"
        if call.rechecks:
            was = sums.rechecks
            sums.rechecks = Rechecks(
                was.callers + 1,
                was.spared + call.spared,
                was.tries + call.attempts,
                was.busy + max(call.attempts - (not call.spared and not busy), 0),
            )
        elif call.together > 1:
            kind = WAITING if call.waits else NOT_WAITING
            share = sums.contention.get(kind, Share(0, 0))
            sums.contention[kind] = Share(share.count + busy, share.of + 1)

    def statistics(self) -> Statistics:
        """Return the statistics of the rounds so far."""
        sums = self._sums
        return replace(
            sums,
            held=self._held if self._judged else None,
            checks=tuple(self._checks.values()),
            verdicts=dict(self._verdicts.most_common()),
            reasons=dict(sums.reasons),
            call_verdicts=_by_frequency(sums.call_verdicts),
            returns=_by_frequency(sums.returns),
            casualties=_by_frequency(sums.casualties),
            contention=dict(sorted(sums.contention.items())),
            times={name: distribution(all_) for name, all_ in self._times.items() if all_},
            round_times={name: each.kept for name, each in self._medians.items() if each.kept},
            log_bytes=distribution(self._log_bytes),
            log_bytes_in_all=sum(self._log_bytes),
            rises=dict(self._rises),
        )


def _count(counts: dict[Key, Occurrences], of_round: Iterable[Key]) -> None:
    for key, times in Counter(of_round).items():
        before = counts.get(key, NEVER)
        counts[key] = Occurrences(before.times + times, before.rounds + 1)


def _by_frequency(counts: Mapping[Key, Occurrences]) -> dict[Key, Occurrences]:
    return dict(sorted(counts.items(), key=lambda item: -item[1].times))


def _first_and_last(before: tuple[int, int] | None, now: int | None) -> tuple[int, int] | None:
    if now is None:
        return before
    return (before[0] if before else now), now


def distribution(numbers: Iterable[int]) -> Distribution:
    """Return the distribution of numbers in any order."""
    ordered = sorted(numbers)
    if not ordered:
        return Distribution()
    return Distribution(
        n=len(ordered),
        p50=nearest_rank(ordered, 50),
        p95=nearest_rank(ordered, 95) if len(ordered) >= 20 else None,
        p99=nearest_rank(ordered, 99) if len(ordered) >= 100 else None,
        max=ordered[-1],
    )


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """Return the smallest number that at least `percent` of all numbers do not exceed."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score; 0 to 1 if `of` is 0."""
    if of == 0:
        return 0.0, 1.0
    share, square = count / of, Z95 * Z95
    scale = 1 + square / of
    centre = (share + square / (2 * of)) / scale
    half = Z95 * sqrt(share * (1 - share) / of + square / (4 * of * of)) / scale
    low = 0.0 if count == 0 else max(centre - half, 0.0)
    high = 1.0 if count == of else min(centre + half, 1.0)
    return low, high
