"""Tests of significance against values from books, and against scipy."""

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oomctl.rounds.significance import (
    fisher,
    holm,
    least_chance,
    rank_test,
    ratio,
    tarone,
)
from oomctl.rounds.statistics import Share

ALPHA = 0.05


@pytest.mark.parametrize(
    ("table", "chance"),
    [
        ((3, 4, 1, 4), 0.4857142857),  # Fisher's tea: 34 of 70
        ((4, 4, 0, 4), 2 / 70),
        ((5, 5, 0, 5), 2 / 252),
        ((1, 1, 0, 1), 1.0),
        ((1, 10, 11, 14), 0.0027594562),  # Wikipedia's students
        ((50, 50, 50, 50), 1.0),
        ((0, 0, 3, 5), 1.0),
    ],
)
def test_fisher(table, chance):
    assert fisher(*table) == pytest.approx(chance, rel=1e-6)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_fisher_sums_the_tables_that_are_not_more_likely(of_a, of_b, data):
    a, b = data.draw(st.integers(0, of_a)), data.draw(st.integers(0, of_b))
    tables = [comb(of_a, here) * comb(of_b, a + b - here) for here in range(a + b + 1)]
    exact = sum(count for count in tables if count <= tables[a]) / comb(of_a + of_b, a + b)
    assert fisher(a, of_a, b, of_b) == pytest.approx(exact, rel=1e-6)
    assert fisher(b, of_b, a, of_a) == pytest.approx(exact, rel=1e-6)


def test_fisher_of_very_many_rounds():
    assert fisher(50_000, 100_000, 50_100, 100_000) == pytest.approx(0.66, abs=0.01)
    assert fisher(0, 100_000, 100_000, 100_000) == 0.0


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_fisher_is_scipys(of_a, of_b, data):
    a, b = data.draw(st.integers(0, of_a)), data.draw(st.integers(0, of_b))
    oracle = stats.fisher_exact([[a, of_a - a], [b, of_b - b]]).pvalue
    assert fisher(a, of_a, b, of_b) == pytest.approx(oracle, rel=1e-6)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_the_least_chance_is_that_of_the_most_extreme_table(of_a, of_b, data):
    a, b = data.draw(st.integers(0, of_a)), data.draw(st.integers(0, of_b))
    tables = range(max(0, a + b - of_b), min(a + b, of_a) + 1)
    least = min(fisher(here, of_a, a + b - here, of_b) for here in tables)
    assert least_chance(Share(a, of_a), Share(b, of_b)) == pytest.approx(least)


def test_a_row_that_cannot_differ_costs_nothing():
    assert tarone([1.0] * 50 + [1e-5] * 2, ALPHA) == ALPHA / 2
    assert tarone([0.04, 0.04], ALPHA) == ALPHA / 2  # so that neither counts
    assert tarone([0.04, 1.0], ALPHA) == tarone([], ALPHA) == ALPHA


def test_holm():
    # Holm 1979 steps down: 4 x 0.005, 3 x 0.01, 2 x 0.03, and never less than before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


TIMES = st.lists(st.integers(1, 10**6), min_size=2, max_size=60)
DISTINCT = st.lists(st.integers(1, 10**6), min_size=4, max_size=40, unique=True)


@given(DISTINCT, st.data())
def test_the_rank_test_is_scipys(times, data):
    cut = data.draw(st.integers(1, len(times) - 1))
    a, b = times[:cut], times[cut:]
    same_as_scipy(a, b, "exact" if len(a) * len(b) <= 400 else "asymptotic")


@given(TIMES, TIMES)
def test_with_ties_it_is_scipys_too(a, b):
    a, b = [time % 7 for time in a], [time % 7 for time in b]
    if len({*a, *b}) > 1 and len({*a, *b}) < len(a) + len(b):
        same_as_scipy(a, b, "asymptotic")


def same_as_scipy(a, b, method):
    found, test = rank_test(a, b), stats.mannwhitneyu
    both = test(b, a, method=method)
    assert found.chance == pytest.approx(both.pvalue, rel=1e-9)
    assert found.slower == pytest.approx(both.statistic / (len(a) * len(b)))
    greater = test(b, a, method=method, alternative="greater")
    assert found.beyond == pytest.approx(greater.pvalue, rel=1e-9)


def test_equal_times_do_not_differ():
    assert rank_test([5] * 9, [5] * 9).chance == 1.0
    assert ratio([5] * 9, [5] * 9).estimate == pytest.approx(1.0)


def test_beyond_is_about_what_is_allowed():
    a = [1000 + n for n in range(30)]
    b = [1200 + n for n in range(30)]
    assert rank_test(a, b, 1.1).beyond < 1e-6
    assert rank_test(a, b, 1.3).beyond > 0.99


@given(TIMES, TIMES)
def test_the_ratio_is_the_median_of_all(a, b):
    found = ratio(a, b)
    all_ratios = sorted(y / x for x in a for y in b)
    low, high = all_ratios[(len(all_ratios) - 1) // 2], all_ratios[len(all_ratios) // 2]
    assert found.estimate == pytest.approx((low * high) ** 0.5, rel=1e-6)
    if found.interval:
        assert found.interval[0] <= found.estimate * (1 + 1e-6)
        assert found.interval[1] >= found.estimate * (1 - 1e-6)


def test_the_interval_holds_the_ratio_in_95_of_100_cases():
    source = random.Random(17)
    held = 0
    for _ in range(300):
        a = [round(source.lognormvariate(16, 0.3)) for _ in range(20)]
        b = [round(1.2 * source.lognormvariate(16, 0.3)) for _ in range(25)]
        low, high = ratio(a, b).interval
        held += low <= 1.2 <= high
    assert held >= 277  # of 285 expected; 3 standard deviations less would be 274
