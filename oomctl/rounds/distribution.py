"""Numbers in order: how many, their percentiles, the largest. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Distribution:
    """Percentiles by nearest rank, so each is a number that was seen.

    A percentile that so few numbers cannot carry is None, since it would be their largest: p95
    needs 20, p99 needs 100.
    """

    n: int = 0
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None
    max: int | None = None


def distribution(numbers: Iterable[int]) -> Distribution:
    """Return the distribution of numbers of any order."""
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
    """Return the smallest number that so many percent of all are not above."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]
