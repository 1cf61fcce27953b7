"""Which rounds keep their samples, and how few of these draw the same picture."""

from dataclasses import replace

from oomctl.oom.outcome import Check, Sample
from oomctl.rounds.drawn import FAILED, SLOWEST, Drawn, thinned
from oomctl.rounds.lines import round_line
from tests.outcomes import DEFAULT_RUN, OUTCOMES

FAILING = replace(DEFAULT_RUN, checks=(Check("kills: 1", False, "2"),))


def test_the_slowest_at_the_end_are_among_those_that_were_drawn():
    times = [(37 * n) % 101 for n in range(100)]
    drawn = Drawn()
    taken = [took for took in times if drawn.takes(took, DEFAULT_RUN)]
    assert set(sorted(times)[-SLOWEST:]) <= set(taken)
    assert len(taken) < 25


def test_the_first_that_fail_are_drawn_however_quick():
    drawn = Drawn()
    for _ in range(SLOWEST):
        assert drawn.takes(100, DEFAULT_RUN)
    taken = [drawn.takes(1, outcome) for outcome in [DEFAULT_RUN, *[FAILING] * 5]]
    assert taken == [False, *[True] * FAILED, *[False] * (5 - FAILED)]


def test_a_line_that_does_not_move_is_two_samples():
    flat = [Sample(n, "/a", 7) for n in range(100)]
    falls = [Sample(n, "/b", 100 - n) for n in range(100)]
    assert [*thinned([*flat, *falls])] == [flat[0], flat[-1], *falls]
    many = [Sample(n, "/b", n % 7) for n in range(10_001)]
    few = [*thinned(many)]
    assert len(few) <= 201
    assert (few[0], few[-1]) == (many[0], many[-1])
    assert [*thinned([])] == []


def test_only_a_drawn_round_has_samples_in_its_line():
    observed = OUTCOMES["observed"]
    assert "samples" not in round_line("", 1, 7, observed)["outcome"]
    rows = round_line("", 1, 7, observed, drawn=True)["outcome"]["samples"]
    assert {row["cgroup"] for row in rows} == {each.cgroup for each in observed.samples}
