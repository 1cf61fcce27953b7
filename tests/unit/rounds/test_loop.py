"""The loop over rounds: when it ends, and what it keeps."""

import os
import sys
from contextlib import contextmanager

import pytest

from oomctl import console, scenario
from oomctl.errors import OomctlError, UsageError
from oomctl.rounds.loop import Limits, RoundLoop
from oomctl.rounds.progress import Progress
from oomctl.rounds.run import VariantRecord
from oomctl.rounds.variant import (
    PlannedVariant,
    Variant,
    VariantPlanner,
    judged,
    triggered,
    variants,
)
from tests.outcomes import ENVIRONMENT
from tests.rounds import called, happened
from tests.scenarios import SITE
from tests.terminal import drained, opened, screen

SECOND = 10**9


class Session:
    environment = ENVIRONMENT

    def __init__(self, *results):
        self.results, self.plans, self.kept = results, [], []

    @contextmanager
    def keep_tree(self, plan):
        self.kept.append(plan)
        yield

    def run(self, plan):
        self.plans.append(plan)
        result = self.results[(len(self.plans) - 1) % len(self.results)]
        if isinstance(result, Exception):
            raise result
        return result


def round_loop(session, limits, labels=("",), **more):
    lines, clock = [], iter(range(10**6))
    plans = iter(range(10**6))
    loop = RoundLoop(
        [PlannedVariant(VariantRecord(label), lambda: next(plans)) for label in labels],
        limits,
        session,
        lines.append,
        clock=lambda: next(clock) * SECOND,
        **more,
    )
    return loop, lines


def test_a_time_limit_ends_the_run_between_turns():
    session = Session(happened(called(1)))
    loop, lines = round_loop(session, Limits(None, 10), ("a", "b"))
    assert loop.run().why == "done"
    counts = [one.rounds for one in loop.statistics()]
    # the clock moves by a second each time it is read: twice a round, once a turn, once at first
    assert counts == [2, 2]
    assert [line["variant"] for line in lines] == ["a", "b", "a", "b"]
    assert all(line["took_ns"] == SECOND for line in lines)


def test_of_outcomes_it_keeps_only_the_last():
    outcomes = [happened(called(1), dying=n) for n in range(3)]
    loop, _lines = round_loop(Session(*outcomes), Limits(3))
    loop.run()
    assert (loop.last, loop.rounds) == (outcomes[-1], 3)


def test_a_plan_is_made_for_each_round_or_with_same_tree_once():
    session = Session(happened(called(1)))
    round_loop(session, Limits(3))[0].run()
    assert session.plans == [0, 1, 2]
    session = Session(happened(called(1)))
    round_loop(session, Limits(2), ("a", "b"), same_tree=True)[0].run()
    assert (session.plans, session.kept) == ([0, 1, 0, 1], [0, 1])


def test_an_error_is_recorded_and_raised():
    loop, lines = round_loop(Session(happened(called(1)), OomctlError("it broke")), Limits(9))
    with pytest.raises(OomctlError):
        loop.run()
    assert [(line["verdict"], line["reason"]) for line in lines[1:]] == [("failed", "it broke")]
    (found,) = loop.statistics()
    assert (found.rounds, found.ran) == (2, 1)


def test_variants_are_all_combinations():
    assert variants([]) == (Variant(),)
    with pytest.raises(UsageError, match="1000000000000 variants are too many; 1000 at most"):
        variants([[(str(n), f"k={n}") for n in range(10_000)]] * 3)
    assert variants([[("w=1", "c.w=1"), ("w=2", "c.w=2")], [("x=3", "x=3")]], ["bpf", "kill"]) == (
        Variant("w=1, x=3, bpf", ("c.w=1", "x=3"), "bpf"),
        Variant("w=1, x=3, kill", ("c.w=1", "x=3"), "kill"),
        Variant("w=2, x=3, bpf", ("c.w=2", "x=3"), "bpf"),
        Variant("w=2, x=3, kill", ("c.w=2", "x=3"), "kill"),
    )


@pytest.fixture
def plan(tmp_path):
    """A plan of a scenario in TOML."""

    def make(text, via=None):
        path = tmp_path / "x.toml"
        path.write_text(text)
        planner = VariantPlanner((scenario.load(path),), (Variant(via=via),), SITE)
        return planner.plans()[0]

    return make


TEXT = "[hog.a]\nsize='1M'\n"


def test_the_trigger_that_a_call_has_already_changes_nothing(plan):
    text = f"{TEXT}[[call]]\nvia='limit'\namount='1M'\n[expect]\nevents.oom=1"
    assert plan(text, "limit") == plan(text)
    assert triggered(plan(text), None) is not None


def test_another_trigger_drops_what_only_the_first_has(plan):
    text = (
        f"{TEXT}[[call]]\nrecheck='1M'\ncallers=2\n[expect]\nvictims=['a']\nkills=1\n"
        "latency.exited='1s'"
    )
    sysrq = plan(text, "sysrq")
    assert sysrq.system_wide
    (step,) = sysrq.steps
    assert (step.recheck, step.callers, step.call.flags) == (None, 2, 0)
    assert (sysrq.expect.victims, sysrq.expect.latency) == (("a",), {})
    assert sysrq.expect.kills is not None
    limit = plan(f"{TEXT}[[call]]\nvia='limit'\n", "bpf")
    assert (limit.steps[0].call.flags, limit.steps[0].call.amount) == (1, None)


def test_a_plan_is_judged_if_anything_is_expected(plan):
    assert not judged(plan(TEXT))
    assert judged(plan(f"{TEXT}[expect]\nkills=1"))
    assert judged(plan(f"{TEXT}[[call]]\nexpect={{returns=1}}"))


@contextmanager
def terminal(written):
    """Let stderr be a terminal; what is written to it is appended in the end."""
    master, slave = opened(100)
    with os.fdopen(slave, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield
    written.append(drained(master))
    os.close(master)


@pytest.mark.parametrize(
    ("total", "seconds", "done", "says"),
    [
        (50, None, (10, 5.0), "busy: 10 of 50 rounds, 2 a second, 0:20 left"),
        (None, 600, (90, 30.0), "busy: 90 rounds, 3 a second, 9:30 left"),
        (100, 7200, (1, 1.0), "busy: 1 of 100 rounds, 1 a second, 1:39 left"),
        (10**6, 7200, (1, 1.0), "busy: 1 of 1000000 rounds, 1 a second, 1:59:59 left"),
        (None, None, (7, 2.0), "busy: 7 rounds, 3.5 a second"),
        (5, None, (0, 0.0), "busy: 0 of 5 rounds"),
    ],
)
def test_the_text_of_progress(total, seconds, done, says):
    assert Progress("busy", total, seconds).text(*done) == says


def test_without_a_terminal_there_is_a_line_a_minute(capsys):
    now = [0.0]
    with Progress("busy", 1000, None, lambda: now[0]) as progress:
        for rounds in range(1, 131):
            now[0] = float(rounds)
            progress.done(rounds)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(",")[0] for line in err.splitlines()] == [
        "oomctl: busy: 60 of 1000 rounds",
        "oomctl: busy: 120 of 1000 rounds",
    ]


def test_a_short_run_says_nothing(capsys):
    with Progress("busy", 3, None) as progress:
        progress.done(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("total", "seconds", "drawn"),
    [
        (20, None, "busy [red]: 7 of 20 rounds, 7 a second, 0:02 left [#######             ]"),
        (None, 4, "busy [red]: 7 rounds, 7 a second, 0:03 left [#####               ]"),
        (None, None, "busy [red]: 7 rounds, 7 a second"),
    ],
)
def test_a_terminal_gets_a_bar_that_is_wiped_at_the_end(total, seconds, drawn):
    now, written = [0.0], []
    with terminal(written), Progress("busy [red]", total, seconds, lambda: now[0]) as progress:
        now[0] = 1.0
        progress.done(7)
        console.progress("a step of a round")
        console.progress_bar("filling hogs", 1, 2)
    (text,) = written
    assert f"oomctl: {drawn}" in text
    assert "step" not in text
    assert "filling" not in text
    assert screen(text, 100) == [""]


def test_a_single_round_has_no_bar():
    written = []
    with terminal(written), Progress("busy", 1, None) as progress:
        progress.done(1)
    assert written == [""]
