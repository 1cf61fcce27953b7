"""What a few rounds can say of many: an interval for a share, a test of two shares. Pure."""

from math import exp, lgamma, sqrt

Z95 = 1.959963984540054
"""The normal deviate that 95 % lie within."""


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score; 0 to 1 where there was nothing."""
    if of == 0:
        return 0.0, 1.0
    share, square = count / of, Z95 * Z95
    scale = 1 + square / of
    centre = (share + square / (2 * of)) / scale
    half = Z95 * sqrt(share * (1 - share) / of + square / (4 * of * of)) / scale
    low = 0.0 if count == 0 else max(centre - half, 0.0)
    high = 1.0 if count == of else min(centre + half, 1.0)
    return low, high


def fisher(count_a: int, of_a: int, count_b: int, of_b: int) -> float:
    """Return how likely chance alone makes two shares differ at least so much, 0 to 1.

    Fisher's exact test, two-sided: the sum over all tables with the same margins that are no more
    likely than this one.
    """
    counted, whole = count_a + count_b, of_a + of_b
    least, most = max(0, counted - of_b), min(counted, of_a)

    def weight(here: int) -> float:
        return _log_choose(of_a, here) + _log_choose(of_b, counted - here)

    total = _log_choose(whole, counted)
    seen = weight(count_a)
    # equally likely tables differ by rounding only
    tables = (weight(here) for here in range(least, most + 1))
    return min(sum(exp(log - total) for log in tables if log <= seen + 1e-7), 1.0)


def _log_choose(of: int, count: int) -> float:
    return lgamma(of + 1) - lgamma(count + 1) - lgamma(of - count + 1)
