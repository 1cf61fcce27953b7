"""Intervals, tests and percentiles against values from books and by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.rounds.statistics import Distribution, Spaced, distribution, nearest_rank, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # z2 / (n + z2)
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 29, 0.0061, 0.1718),  # Newcombe 1998, table 1
        (81, 263, 0.2553, 0.3662),  # the same
        (15, 148, 0.0624, 0.1605),  # the same
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(count, of, low, high):
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("numbers", "percent", "rank"),
    [([7], 50, 7), ([1, 2], 50, 1), ([15, 20, 35, 40, 50], 50, 35), ([15, 20, 35, 40, 50], 30, 20)],
)
def test_nearest_rank(numbers, percent, rank):
    assert nearest_rank(numbers, percent) == rank


def test_a_percentile_needs_as_many_numbers_as_it_divides_into():
    assert distribution([]) == Distribution()
    assert distribution([9]) == Distribution(1, 9, None, None, 9)
    assert distribution(range(1, 20)).p95 is None
    assert distribution(range(1, 21)) == Distribution(20, 10, 19, None, 20)
    assert distribution(range(100, 0, -1)) == Distribution(100, 50, 95, 99, 100)


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=300), st.integers(1, 100))
def test_a_percentile_is_a_number_that_was_seen(numbers, percent):
    ordered = sorted(numbers)
    found = nearest_rank(ordered, percent)
    assert found in numbers
    at_most = sum(number <= found for number in numbers)
    below = sum(number < found for number in numbers)
    assert at_most * 100 >= percent * len(numbers)
    assert below * 100 < percent * len(numbers)


def test_of_a_long_series_some_numbers_are_kept_evenly_spaced():
    some = Spaced()
    for number in range(100_000):
        some.add(number)
    assert 1000 <= len(some.kept) <= 2000
    assert some.kept[0] == 0
    assert len({b - a for a, b in pairwise(some.kept)}) == 1
    assert some.kept[-1] > 99_800
