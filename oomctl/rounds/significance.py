"""Whether chance alone explains a difference: of shares, of times, of many rows at once. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import erfc, exp, lgamma, log, sqrt

from oomctl.rounds.statistics import Z95, Share

_EXACT = 400
"""Up to this many pairs the distribution of U is counted, not approximated."""


def fisher(count_a: int, of_a: int, count_b: int, of_b: int) -> float:
    """Return the probability that chance alone makes two shares differ at least this much.

    Fisher's exact test, two-sided: the sum over all tables with the same margins that are not more
    likely than this one.
    """
    counted, whole = count_a + count_b, of_a + of_b
    least, most = max(0, counted - of_b), min(counted, of_a)

    def weight(here: int) -> float:
        return _log_choose(of_a, here) + _log_choose(of_b, counted - here)

    total = _log_choose(whole, counted)
    limit = weight(count_a) + 1e-7  # equally likely tables differ by rounding only
    tables = (weight(here) for here in range(least, most + 1))
    return min(sum(exp(one - total) for one in tables if one <= limit), 1.0)


def least_chance(a: Share, b: Share) -> float:
    """Return the smallest result that fisher() can have for shares with these margins."""
    counted = a.count + b.count
    least, most = max(0, counted - b.of), min(counted, a.of)
    return min(fisher(here, a.of, counted - here, b.of) for here in (least, most))


def _log_choose(of: int, count: int) -> float:
    return lgamma(of + 1) - lgamma(count + 1) - lgamma(of - count + 1)


def tarone(least: Sequence[float], alpha: float) -> float:
    """Return the p that a test must be able to reach to count, given the least p of each.

    Tarone's rule (1990): alpha / K, with the smallest K such that at most K tests can be below it.
    The others are left out. A row that is the same in every round so costs the others nothing.
    """
    ordered = sorted(least)
    return next(alpha / k for k in count(1) if bisect_right(ordered, alpha / k) <= k)


def holm(chances: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method (1979), in their order.

    If nothing differs, the probability that any of them is below alpha is at most alpha, however
    the tests depend on each other; the victims of one round do.
    """
    adjusted, highest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class RankTest:
    """The test of Mann and Whitney: `slower` is the share of pairs in which B's time is longer.

    Equal times count half. `chance` is two-sided, `beyond` the probability by chance if B were at
    most as slow as was allowed.
    """

    slower: float
    chance: float
    beyond: float


def rank_test(a: Sequence[float], b: Sequence[float], allowed: float = 1.0) -> RankTest:
    """Compare times; `allowed` is the factor by which B may be slower for `beyond`."""
    less, more = _tails(a, b)
    beyond = more if allowed == 1.0 else _tails([allowed * time for time in a], b)[1]
    return RankTest(_wins(a, b)[0] / (len(a) * len(b)), min(1.0, 2 * min(less, more)), beyond)


def _wins(a: Sequence[float], b: Sequence[float]) -> tuple[float, int]:
    """Return U, the pairs in which B is larger, and the sum of t^3 - t over ties of t values."""
    ordered = sorted([(x, 0) for x in a] + [(y, 1) for y in b])
    ranks, ties, start = 0.0, 0, 0
    while start < len(ordered):
        stop = start
        while stop < len(ordered) and ordered[stop][0] == ordered[start][0]:
            stop += 1
        ranks += (start + 1 + stop) / 2 * sum(of_b for _, of_b in ordered[start:stop])
        ties += (stop - start) ** 3 - (stop - start)
        start = stop
    return ranks - len(b) * (len(b) + 1) / 2, ties


def _tails(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Return the probabilities by chance of a U as small, and of one as large."""
    (wins, ties), pairs, n = _wins(a, b), len(a) * len(b), len(a) + len(b)
    if pairs <= _EXACT and not ties:
        ways = _ways(len(a), len(b))
        u, total = round(wins), sum(ways)
        return sum(ways[: u + 1]) / total, sum(ways[u:]) / total
    variance = pairs / 12 * (n + 1 - ties / (n * (n - 1)))
    if variance <= 0:
        return 1.0, 1.0
    z = [(side * (wins - pairs / 2) - 0.5) / sqrt(2 * variance) for side in (-1, 1)]
    return erfc(z[0]) / 2, erfc(z[1]) / 2


def _ways(m: int, n: int) -> list[int]:
    """Return in how many orders of m and n values U is 0, 1, 2 ...: a Gaussian binomial."""
    ways = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            ways[u] -= ways[u - n - i]
        for u in range(i, m * n + 1):
            ways[u] += ways[u - i]
    return ways


@dataclass(frozen=True)
class Ratio:
    """B by A: the median of the ratios of all pairs (Hodges and Lehmann), and its 95 % interval.

    The interval is that of the rank test; None if there are too few times for one.
    """

    estimate: float
    interval: tuple[float, float] | None


def ratio(a: Sequence[int], b: Sequence[int]) -> Ratio:
    """Estimate by what factor B's times are longer."""
    x, y = (sorted(log(max(time, 1)) for time in times) for times in (a, b))
    pairs = len(x) * len(y)
    middle = _kth(x, y, (pairs + 1) // 2) + _kth(x, y, pairs // 2 + 1)
    below = int(pairs / 2 - Z95 * sqrt(pairs * (len(x) + len(y) + 1) / 12))
    ends = (exp(_kth(x, y, below)), exp(_kth(x, y, pairs + 1 - below))) if below >= 1 else None
    return Ratio(exp(middle / 2), ends)


def _kth(x: Sequence[float], y: Sequence[float], k: int) -> float:
    """Return the k-th smallest of all y - x, both sorted, to 1e-9."""
    low, high = y[0] - x[-1] - 1e-9, y[-1] - x[0]
    while high - low > 1e-9:
        middle = (low + high) / 2
        if _at_most(x, y, middle) >= k:
            high = middle
        else:
            low = middle
    return high


def _at_most(x: Sequence[float], y: Sequence[float], limit: float) -> int:
    found = place = 0
    for value in x:
        while place < len(y) and y[place] - value <= limit:
            place += 1
        found += place
    return found
