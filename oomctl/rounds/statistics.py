"""Statistics of the rounds of one variant, and the tally that they are made from. Pure."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from oomctl.rounds.distribution import Distribution, distribution
from oomctl.rounds.round import TIMES, Called, Casualty, Round

Key = TypeVar("Key")

WAITING, NOT_WAITING = "wait", "no wait"


@dataclass(frozen=True)
class CheckTally:
    """One expectation over all rounds; in the rest of them it could not be tested.

    `first` is the number of the first round in which it did not hold, `why` what was found there.
    """

    name: str
    held: int
    failed: int
    first: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Occurrences:
    """How often something came: so many times, in so many rounds."""

    times: int
    rounds: int


NEVER = Occurrences(0, 0)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int


@dataclass(frozen=True)
class Rechecks:
    """Callers that try again instead of waiting for oom_lock.

    `spared` of them found the memory freed meanwhile; of all `tries`, `busy` met a lock that was
    held.
    """

    callers: int = 0
    spared: int = 0
    tries: int = 0
    busy: int = 0


@dataclass(frozen=True)
class Statistics:
    """What the rounds of one variant came to; times in ns, sizes in bytes.

    `ran` are the rounds that have an outcome, `held` those in which every expectation held, None
    where nothing was expected. `contention` is the share of EBUSY among calls that were not alone,
    with and without waiting. `log_bytes` are those of a round, `rises` those of the top's
    memory.events over all rounds. `dying` and `own_rss` are the first and the last that was seen.
    """

    variant: str
    rounds: int = 0
    ran: int = 0
    took_ns: int = 0
    held: int | None = None
    checks: tuple[CheckTally, ...] = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    calls: int = 0
    call_verdicts: Mapping[str, Occurrences] = field(default_factory=dict)
    returns: Mapping[str, Occurrences] = field(default_factory=dict)
    gone: Mapping[Casualty, Occurrences] = field(default_factory=dict)
    contention: Mapping[str, Share] = field(default_factory=dict)
    rechecks: Rechecks = Rechecks()
    times: Mapping[str, Distribution] = field(default_factory=dict)
    log_bytes: Distribution = field(default_factory=Distribution)
    log_bytes_in_all: int = 0
    rises: Mapping[str, int] = field(default_factory=dict)
    dying: tuple[int, int] | None = None
    own_rss: tuple[int, int] | None = None

    @property
    def passed(self) -> bool | None:
        """Whether all that was expected held in every round; None where nothing was expected."""
        return None if self.held is None else self.held == self.rounds

    @property
    def rate(self) -> float | None:
        """Rounds a second of their own time."""
        return self.rounds / (self.took_ns / 1e9) if self.took_ns else None


class Tally:
    """Adds up rounds; what it keeps of each are a few numbers in arrays."""

    def __init__(self, variant: str, judged: bool = False) -> None:
        self._variant = variant
        self._judged = judged
        self._rounds = self._ran = self._took = self._calls = self._held = 0
        self._checks: dict[str, CheckTally] = {}
        self._verdicts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._call_verdicts: dict[str, Occurrences] = {}
        self._returns: dict[str, Occurrences] = {}
        self._gone: dict[Casualty, Occurrences] = {}
        self._contention: dict[str, Share] = {}
        self._rechecks = Rechecks()
        self._times = {name: array("q") for name in TIMES}
        self._log_bytes = array("q")
        self._rises: Counter[str] = Counter()
        self._dying: tuple[int, int] | None = None
        self._own_rss: tuple[int, int] | None = None

    def add(self, one: Round) -> None:
        """Count one round in."""
        self._rounds += 1
        self._took += one.took_ns
        self._judged |= bool(one.checks)
        self._held += one.held
        self._verdicts[one.verdict] += 1
        self._reasons.setdefault(one.verdict, one.reason)
        if not one.ran:
            return
        self._ran += 1
        for check in one.checks:
            self._check(one.number, check.name, check.passed, check.why)
        for call in one.calls:
            self._call(call)
        _count(self._call_verdicts, Counter(call.verdict for call in one.calls))
        _count(self._returns, Counter(call.returned for call in one.calls))
        _count(self._gone, Counter(one.gone))
        for name, after in one.times.items():
            self._times[name].extend(after)
        self._log_bytes.append(one.log_bytes)
        for name, rise in one.rises.items():
            self._rises[name] += rise
        self._dying = _span(self._dying, one.dying)
        self._own_rss = _span(self._own_rss, one.own_rss)

    def _check(self, number: int, name: str, passed: bool | None, why: str) -> None:
        before = self._checks.get(name, CheckTally(name, 0, 0))
        fails = passed is False
        first = before.first is None and fails
        self._checks[name] = CheckTally(
            name,
            before.held + (passed is True),
            before.failed + fails,
            number if first else before.first,
            why if first else before.why,
        )

    def _call(self, call: Called) -> None:
        self._calls += 1
        if call.rechecks:
            was = self._rechecks
            busy = call.attempts - (not call.spared and call.returned != "-EBUSY")
            self._rechecks = Rechecks(
                was.callers + 1,
                was.spared + call.spared,
                was.tries + call.attempts,
                was.busy + max(busy, 0),
            )
        elif call.together > 1:
            kind = WAITING if call.waits else NOT_WAITING
            share = self._contention.get(kind, Share(0, 0))
            busy = call.returned == "-EBUSY"
            self._contention[kind] = Share(share.count + busy, share.of + 1)

    def statistics(self) -> Statistics:
        """Return what it came to so far."""
        return Statistics(
            variant=self._variant,
            rounds=self._rounds,
            ran=self._ran,
            took_ns=self._took,
            held=self._held if self._judged else None,
            checks=tuple(self._checks.values()),
            verdicts=dict(self._verdicts.most_common()),
            reasons=dict(self._reasons),
            calls=self._calls,
            call_verdicts=_by_frequency(self._call_verdicts),
            returns=_by_frequency(self._returns),
            gone=_by_frequency(self._gone),
            contention=dict(sorted(self._contention.items())),
            rechecks=self._rechecks,
            times={name: distribution(all_) for name, all_ in self._times.items() if all_},
            log_bytes=distribution(self._log_bytes),
            log_bytes_in_all=sum(self._log_bytes),
            rises=dict(self._rises),
            dying=self._dying,
            own_rss=self._own_rss,
        )


def _count(into: dict[Key, Occurrences], came: Mapping[Key, int]) -> None:
    for key, times in came.items():
        before = into.get(key, NEVER)
        into[key] = Occurrences(before.times + times, before.rounds + 1)


def _by_frequency(counts: Mapping[Key, Occurrences]) -> dict[Key, Occurrences]:
    return dict(sorted(counts.items(), key=lambda item: -item[1].times))


def _span(before: tuple[int, int] | None, now: int | None) -> tuple[int, int] | None:
    if now is None:
        return before
    return (before[0] if before else now), now
