"""What differs between two records, and whether chance alone explains it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oomctl.rounds.run import Run
from oomctl.rounds.statistics import NEVER, Share, Statistics, fisher

ALPHA = 0.01
"""A share has changed if the probability of its difference by chance (Fisher) is below this."""

_NOT_THE_MACHINE = ("oom_score_adj",)


@dataclass(frozen=True)
class Difference:
    """The share of rounds of A and of B with some result, and the probability of it by chance."""

    what: str
    a: Share
    b: Share
    chance: float

    @property
    def changed(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.chance < ALPHA

    @property
    def differs(self) -> bool:
        """Whether the shares differ at all."""
        return self.a.count * self.b.of != self.b.count * self.a.of


@dataclass(frozen=True)
class Pair:
    """One variant of one scenario in both records; `same_file`: the scenario files are equal."""

    scenario: str
    a: Statistics
    b: Statistics
    differences: tuple[Difference, ...]
    same_file: bool = True

    @property
    def name(self) -> str:
        """The name of the scenario and, if it has several, of the variant."""
        return f"{self.scenario}: {self.a.variant}" if self.a.variant else self.scenario

    @property
    def enough(self) -> bool:
        """Whether there are enough rounds to show a change at all."""
        a, b = self.a.rounds, self.b.rounds
        return bool(a and b) and fisher(0, a, b, b) < ALPHA


@dataclass(frozen=True)
class Comparison:
    """Two records: what both have, and what only one of them has.

    `machines` lists the differences of the machines: name, value of A, value of B.
    """

    environments: tuple[Mapping[str, Any], Mapping[str, Any]]
    machines: tuple[tuple[str, str, str], ...]
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[tuple[Pair, Difference], ...]:
        """The differences that chance does not explain, each with its pair."""
        return tuple(
            (pair, each) for pair in self.pairs for each in pair.differences if each.changed
        )


def compare(a: Sequence[Run], b: Sequence[Run]) -> Comparison:
    """Compare by scenario and variant; runs of the same ones are paired in order."""
    of_a, of_b = dict(_by_name(a)), dict(_by_name(b))
    first, second = a[0].header.environment, b[0].header.environment
    return Comparison(
        environments=(first, second),
        machines=tuple(_machines(first, second)),
        pairs=tuple(_pair(*of_a[key], *of_b[key]) for key in of_a if key in of_b),
        only_a=tuple(_named(key) for key in of_a if key not in of_b),
        only_b=tuple(_named(key) for key in of_b if key not in of_a),
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


def _pair(run_a: Run, a: Statistics, run_b: Run, b: Statistics) -> Pair:
    return Pair(
        scenario=run_a.header.scenario,
        a=a,
        b=b,
        differences=tuple(_differences(a, b)),
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
