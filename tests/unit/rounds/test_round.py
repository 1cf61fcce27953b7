"""Rounds and their tally, with numbers counted by hand."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.outcome import Check
from oomctl.rounds.lines import round_line
from oomctl.rounds.round import TIMES, Called, Casualty, Round, round_of
from oomctl.rounds.statistics import (
    CheckTally,
    Distribution,
    Occurrences,
    Rechecks,
    Share,
    Tally,
)
from tests.outcomes import OUTCOMES, M
from tests.rounds import MS, NOT_FILLED, busy, called, happened, spares


def of(result, number=1, rechecking=frozenset()):
    return round_of(round_line("", number, 200 * MS, result), rechecking)


def test_a_round_of_one_call():
    one = of(happened(called(1), oom=2, dying=3))
    assert (one.verdict, one.ran, one.took_ns, one.number) == ("killed", True, 200 * MS, 1)
    assert one.calls == (Called("1", "killed", waits=True),)
    assert one.casualties == (Casualty("large", "killed"),)
    assert one.times == {
        "lock_wait": (14_000,),
        "in_the_call": (9 * MS,),
        "to_marked": (8 * MS + 9_000,),
        "to_killed": (8 * MS,),
        "dying": (19 * MS,),
        "to_exited": (27 * MS,),
        "to_relieved": (32 * MS,),
    }
    assert one.log_bytes == 100 + 200
    assert (one.rises["oom"], one.rises["max"], one.rises["oom_kill"]) == (2, 6, 1)
    assert (one.dying, one.own_rss) == (3, 35 * M)
    assert one.held


def test_the_casualties_of_a_round():
    tasks = OUTCOMES["observed"].tasks
    result = replace(
        happened(called(1)),
        tasks=(
            *tasks[2:],
            replace(tasks[2], collateral=True),
            replace(tasks[2], fate=replace(tasks[2].fate, kind="dying")),
            replace(tasks[2], fate=replace(tasks[2].fate, kind="cgroup-killed")),
            replace(tasks[0], failed="ENOMEM"),
        ),
    )
    assert [(each.name, each.how) for each in of(result).casualties] == [
        ("large", "killed"),
        ("sharer", "stranger"),
        ("large", "collateral"),
        ("large", "dying"),
        ("large", "killed"),
        ("small", "not filled"),
    ]


def test_a_round_without_an_outcome():
    one = of(NOT_FILLED)
    assert one == Round("", 1, *NOT_FILLED, ran=False, took_ns=200 * MS)
    assert not one.held


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (happened(called(1)), None),
        (happened(called(1, shift=5), oom=7), None),
        (happened(called(1), dead="medium"), "victims medium instead of large"),
        (happened(called(-22)), "verdict invalid-argument instead of killed"),
        (
            happened(called(1), called(-16, flags=0)),
            "verdict busy instead of killed",
        ),
        (
            replace(happened(called(1), called(1)), verdict=happened(called(1)).verdict),
            "returns 2 x 1 instead of 1",
        ),
    ],
)
def test_the_first_difference_of_two_rounds_in_words(other, says):
    assert of(other).difference(of(happened(called(1)))) == says


def test_a_tally_has_the_numbers_counted_by_hand():
    tally = Tally("a", judged=True)
    for number in range(1, 5):
        tally.add(of(busy(number, shift=number * MS), number))
    tally.add(of(NOT_FILLED, 5))
    found = tally.statistics()
    assert (found.variant, found.rounds, found.ran, found.took_ns) == ("a", 5, 4, 1000 * MS)
    assert (found.held, found.passed, found.rate) == (3, False, 5.0)
    assert found.checks == (
        CheckTally("victims are large", 4, 0),
        CheckTally("call 1 returns 1", 3, 1, 3, "1 once, EBUSY 3 times"),
        CheckTally("reaped within 1.00 s", 0, 0),
    )
    assert found.verdicts == {"busy": 4, "not-filled": 1}
    assert found.reasons["not-filled"] == NOT_FILLED[1]
    assert found.calls == 16
    assert found.call_verdicts == {"busy": Occurrences(12, 4), "killed": Occurrences(4, 4)}
    assert found.returns == {"-EBUSY": Occurrences(12, 4), "1": Occurrences(4, 4)}
    assert found.casualties == {Casualty("large", "killed"): Occurrences(4, 4)}
    assert found.contention == {"no wait": Share(12, 16)}
    assert found.rechecks == Rechecks()
    assert list(found.times) == list(TIMES)
    assert found.times["to_killed"] == Distribution(4, 10 * MS, None, None, 12 * MS)
    assert found.times["dying"] == Distribution(4, 21 * MS, None, None, 23 * MS)
    assert (found.log_bytes, found.log_bytes_in_all) == (Distribution(4, 300, max=300), 1200)
    assert found.rises["oom_kill"] == 4
    assert (found.dying, found.own_rss) == ((0, 2), (35 * M, 35 * M))


def test_callers_that_recheck_are_counted_separately():
    tally = Tally("")
    for number in (1, 2):
        tally.add(of(spares(number), number, frozenset({0})))
    found = tally.statistics()
    # of each round one got in at its first try, one gave up after 3, one before any
    assert found.rechecks == Rechecks(callers=6, spared=4, tries=8, busy=6)
    assert found.contention == {}
    assert found.returns == {"spared": Occurrences(4, 2), "1": Occurrences(2, 2)}


def test_only_simultaneous_calls_count_as_contention():
    tally = Tally("")
    tally.add(of(happened(called(1), called(-16, flags=0, turn=1))))
    tally.add(of(happened(called(1), called(1, kills=False))))
    assert tally.statistics().contention == {"wait": Share(0, 2)}


def test_a_tally_without_rounds():
    found = Tally("").statistics()
    assert (found.rounds, found.held, found.passed, found.rate) == (0, None, None, None)


def test_a_round_without_outcome_and_expectations_is_not_judged():
    tally = Tally("")
    tally.add(of(NOT_FILLED))
    assert tally.statistics().passed is None


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_round_is_the_same_before_and_after_json(name):
    line = round_line("x", 3, 5, OUTCOMES[name])
    assert round_of(line) == round_of(json.loads(json.dumps(line)))
    assert "samples" not in line["outcome"]
    assert "environment" not in line["outcome"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 0, -16, -22, None]),
            st.integers(0, 10**12),
            st.integers(0, 1),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=6,
    ),
    st.text(max_size=10),
    st.one_of(st.none(), st.booleans()),
)
def test_any_round_survives_json(calls, why, passed):
    reports = [called(ret, shift=s, flags=f, turn=turn, kills=False) for ret, s, f, turn in calls]
    result = happened(*reports, checks=(Check("it holds", passed, why),))
    line = round_line(why, 1, 7, result)
    one = round_of(json.loads(json.dumps(line)))
    assert one == round_of(line)
    assert one.variant == why
    assert len(one.calls) == len(calls)
    assert one.held == (passed is not False)
    assert one.difference(one) is None


def test_a_tally_keeps_numbers_not_rounds():
    """36,000 rounds, an hour at ten a second, take at most 100 bytes each."""
    import tracemalloc

    one = of(happened(called(1)))
    tally = Tally("")
    tracemalloc.start()
    for _ in range(10_000):
        tally.add(one)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 10_000 < 100
