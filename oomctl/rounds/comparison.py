"""What differs between two records, and whether chance alone explains it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oomctl.rounds.run import Run
from oomctl.rounds.significance import (
    RankTest,
    Ratio,
    fisher,
    holm,
    least_chance,
    rank_test,
    ratio,
    tarone,
)
from oomctl.rounds.statistics import NEVER, Share, Statistics

ALPHA = 0.05
"""The probability that any difference of a comparison is called a change by chance alone."""

_NOT_THE_MACHINE = ("oom_score_adj", "kernel_command_line", "host", "command", "time")


@dataclass(frozen=True)
class Difference:
    """The share of rounds of A and of B with some result, and the probability of it by chance.

    `chance` is that of this row alone (Fisher), `corrected` for the number of rows (Holm).
    """

    what: str
    a: Share
    b: Share
    chance: float
    corrected: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.corrected < ALPHA

    @property
    def differs(self) -> bool:
        """Whether the shares differ at all."""
        return self.a.count * self.b.of != self.b.count * self.a.of


@dataclass(frozen=True)
class TimeChange:
    """How a time differs: of the medians of rounds, as many as `rounds` of A and of B.

    `corrected` is for the number of times compared, `beyond` for all that can fail the comparison:
    the probability by chance if B were slower by no more than what is allowed.
    """

    name: str
    rounds: tuple[int, int]
    ratio: Ratio
    test: RankTest
    corrected: float = 1.0
    beyond: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.corrected < ALPHA

    @property
    def too_slow(self) -> bool:
        """Whether B is certainly slower than what is allowed."""
        return self.beyond < ALPHA


@dataclass(frozen=True)
class Pair:
    """One variant of one scenario in both records; `same_file`: the scenario files are equal.

    `enough` says whether there are enough rounds to show a change at all.
    """

    scenario: str
    a: Statistics
    b: Statistics
    differences: tuple[Difference, ...]
    times: tuple[TimeChange, ...] = ()
    same_file: bool = True
    enough: bool = True

    @property
    def name(self) -> str:
        """The name of the scenario and, if it has several, of the variant."""
        return f"{self.scenario}: {self.a.variant}" if self.a.variant else self.scenario


@dataclass(frozen=True)
class Comparison:
    """Two records: what both have, and what only one of them has.

    `options` lists the options of the runs that differ, `machines` what differs of the machines:
    name, value of A, value of B. `allowed` is the share by which times may be longer in B; None if
    they are not judged.
    """

    environments: tuple[Mapping[str, Any], Mapping[str, Any]]
    options: tuple[tuple[str, str, str], ...]
    machines: tuple[tuple[str, str, str], ...]
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    allowed: float | None = None

    @property
    def changes(self) -> tuple[tuple[Pair, Difference], ...]:
        """The differences that chance does not explain, each with its pair."""
        return tuple(
            (pair, each) for pair in self.pairs for each in pair.differences if each.changed
        )

    @property
    def too_slow(self) -> tuple[tuple[Pair, TimeChange], ...]:
        """The times that are certainly longer than allowed, each with its pair."""
        return tuple((pair, each) for pair in self.pairs for each in pair.times if each.too_slow)

    @property
    def same(self) -> bool:
        """Whether nothing changed, as far as it is judged."""
        return not self.changes and not self.too_slow


def compare(a: Sequence[Run], b: Sequence[Run], allowed: float | None = None) -> Comparison:
    """Compare by scenario and variant; runs of the same ones are paired in order.

    With `allowed` times are judged: 0.1 allows them to be longer by a tenth.
    """
    of_a, of_b = dict(_by_name(a)), dict(_by_name(b))
    first, second = a[0].header.environment, b[0].header.environment
    pairs = [_pair(*of_a[key], *of_b[key], allowed or 0.0) for key in of_a if key in of_b]
    return Comparison(
        environments=(first, second),
        options=tuple(_options(a, b)),
        machines=tuple(_machines(first, second)),
        pairs=tuple(_corrected(pairs, allowed is not None)),
        only_a=tuple(_named(key) for key in of_a if key not in of_b),
        only_b=tuple(_named(key) for key in of_b if key not in of_a),
        allowed=allowed,
    )


def _corrected(pairs: Sequence[Pair], judges_times: bool) -> Iterator[Pair]:
    """Correct what can fail the comparison as one family of tests, what is shown as another."""
    shares = [each for pair in pairs for each in pair.differences]
    times = [each for pair in pairs for each in pair.times]
    gates = times if judges_times else []
    least = [least_chance(each.a, each.b) for each in shares] + [0.0 for _ in gates]
    chances = [each.chance for each in shares] + [each.test.beyond for each in gates]
    limit = tarone(least, ALPHA)
    counts = [one <= limit for one in least]
    among = iter(holm([chance for chance, one in zip(chances, counts, strict=True) if one]))
    judged = iter([next(among) if one else 1.0 for one in counts])
    new_shares = iter([replace(each, corrected=next(judged)) for each in shares])
    shown = holm([each.test.chance for each in times])
    new_times = iter(
        replace(each, corrected=one, beyond=next(judged) if judges_times else 1.0)
        for each, one in zip(times, shown, strict=True)
    )
    for pair in pairs:
        rounds = pair.a.rounds, pair.b.rounds
        clearest = fisher(0, rounds[0], rounds[1], rounds[1]) if all(rounds) else 1.0
        yield replace(
            pair,
            differences=tuple(next(new_shares) for _ in pair.differences),
            times=tuple(next(new_times) for _ in pair.times),
            enough=clearest <= limit,
        )


Key = tuple[str, str, int]


def _by_name(runs: Iterable[Run]) -> Iterator[tuple[Key, tuple[Run, Statistics]]]:
    seen: dict[tuple[str, str], int] = {}
    for run in runs:
        for one in run.statistics:
            name = run.header.scenario, one.variant
            seen[name] = seen.get(name, 0) + 1
            yield (*name, seen[name]), (run, one)


def _named(key: Key) -> str:
    scenario, variant, number = key
    name = f"{scenario}: {variant}" if variant else scenario
    return f"{name} ({number})" if number > 1 else name


def _pair(run_a: Run, a: Statistics, run_b: Run, b: Statistics, allowed: float) -> Pair:
    return Pair(
        scenario=run_a.header.scenario,
        a=a,
        b=b,
        differences=tuple(_differences(a, b)),
        times=tuple(_times(a, b, allowed)),
        same_file=run_a.header.source == run_b.header.source,
    )


def _differences(a: Statistics, b: Statistics) -> Iterator[Difference]:
    """Count rounds, not calls: the calls of one round are not independent of each other."""
    for verdict in dict.fromkeys([*a.verdicts, *b.verdicts]):
        shares = (Share(one.verdicts.get(verdict, 0), one.rounds) for one in (a, b))
        yield _difference(f"verdict {verdict}", *shares)
    for casualty in dict.fromkeys([*a.casualties, *b.casualties]):
        shares = (Share(one.casualties.get(casualty, NEVER).rounds, one.ran) for one in (a, b))
        yield _difference(casualty.text, *shares)
    for value in dict.fromkeys([*a.returns, *b.returns]):
        shares = (Share(one.returns.get(value, NEVER).rounds, one.ran) for one in (a, b))
        yield _difference(f"returned {value}", *shares)
    held = [{check.name: check.held for check in one.checks} for one in (a, b)]
    for name in held[0]:
        if name in held[1]:
            shares = (Share(of[name], one.rounds) for of, one in zip(held, (a, b), strict=True))
            yield _difference(f"held: {name}", *shares)


def _difference(what: str, a: Share, b: Share) -> Difference:
    chance = fisher(a.count, a.of, b.count, b.of) if a.of and b.of else 1.0
    return Difference(what, a, b, chance)


def _times(a: Statistics, b: Statistics, allowed: float) -> Iterator[TimeChange]:
    for name, all_a in a.round_times.items():
        if all_b := b.round_times.get(name):
            rounds = len(all_a), len(all_b)
            test = rank_test(all_a, all_b, 1.0 + allowed)
            yield TimeChange(name, rounds, ratio(all_a, all_b), test)


def _options(a: Sequence[Run], b: Sequence[Run]) -> Iterator[tuple[str, str, str]]:
    """Yield the options that differ, the orders that do, and the kernel's command line."""
    for name in dict.fromkeys(name for run in (*a, *b) for name in run.header.options):
        found = [_listed(str(run.header.options.get(name)) for run in runs) for runs in (a, b)]
        if found[0] != found[1]:
            yield name, found[0], found[1]
    orders = {
        "order of scenarios": [[run.header.scenario for run in runs] for runs in (a, b)],
        "order of variants": [
            [v.label for run in runs for v in run.header.variants] for runs in (a, b)
        ],
    }
    for name, (of_a, of_b) in orders.items():
        both = [
            [each for each in dict.fromkeys(one) if each in other]
            for one, other in ((of_a, of_b), (of_b, of_a))
        ]
        if both[0] != both[1]:
            yield name, ", ".join(both[0]), ", ".join(both[1])
    lines = [runs[0].header.environment.get("kernel_command_line") for runs in (a, b)]
    if None not in lines and lines[0] != lines[1]:
        words = [str(line).split() for line in lines]
        only = [[each for each in one if each not in other] for one, other in (words, words[::-1])]
        yield "kernel command line", " ".join(only[0]) or "-", " ".join(only[1]) or "-"


def _listed(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _machines(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    flat_a, flat_b = dict(_flat(a)), dict(_flat(b))
    for name in dict.fromkeys([*flat_a, *flat_b]):
        mine, theirs = flat_a.get(name, "-"), flat_b.get(name, "-")
        if mine != theirs and name not in _NOT_THE_MACHINE:
            yield name, mine, theirs


def _flat(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            prefix = "" if name == "sysctls" else f"{name} "
            yield from ((f"{prefix}{below}", text) for below, text in _flat(value))
        else:
            yield str(name), "-" if value is None else str(value)
