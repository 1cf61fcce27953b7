"""The loop over rounds: when it ends, and what it keeps."""

import io
import sys
from contextlib import contextmanager

import pytest

from oomctl import scenario
from oomctl.errors import OomctlError, UsageError
from oomctl.rounds.cast import Place
from oomctl.rounds.loop import Limits, PlannedVariant, RoundLoop
from oomctl.rounds.progress import Progress
from oomctl.rounds.run import VariantRecord
from oomctl.rounds.variant import Variant, judged, triggered, variants
from tests.outcomes import ENVIRONMENT
from tests.rounds import called, happened

SECOND = 10**9


class Session:
    environment = ENVIRONMENT

    def __init__(self, *came):
        self.came, self.plans, self.stood = list(came), [], []

    @contextmanager
    def keep_tree(self, plan):
        self.stood.append(plan)
        yield

    def run(self, plan):
        self.plans.append(plan)
        came = self.came[(len(self.plans) - 1) % len(self.came)]
        if isinstance(came, Exception):
            raise came
        return came


def soak(session, limits, labels=("",), **more):
    lines, clock = [], iter(range(10**6))
    plans = iter(range(10**6))
    made = RoundLoop(
        [PlannedVariant(VariantRecord(label), lambda: next(plans)) for label in labels],
        limits,
        session,
        lines.append,
        lambda rounds: None,
        clock=lambda: next(clock) * SECOND,
        **more,
    )
    return made, lines


def test_time_counts_between_turns_and_variants_have_as_many_rounds():
    session = Session(happened(called(1)))
    made, lines = soak(session, Limits(None, 10), ("a", "b"))
    assert made.run().why == "done"
    counts = [one.rounds for one in made.statistics()]
    # the clock moves by a second each time it is read: twice a round, once a turn, once at first
    assert counts == [2, 2]
    assert [line["variant"] for line in lines] == ["a", "b", "a", "b"]
    assert all(line["took_ns"] == SECOND for line in lines)


def test_the_last_outcome_and_the_number_of_rounds_are_all_it_keeps():
    outcomes = [happened(called(1), dying=n) for n in range(3)]
    made, _lines = soak(Session(*outcomes), Limits(3))
    made.run()
    assert (made.last, made.rounds) == (outcomes[-1], 3)


def test_a_plan_is_made_for_each_round_or_once():
    session = Session(happened(called(1)))
    soak(session, Limits(3))[0].run()
    assert session.plans == [0, 1, 2]
    session = Session(happened(called(1)))
    soak(session, Limits(2), ("a", "b"), same_tree=True)[0].run()
    assert (session.plans, session.stood) == ([0, 1, 0, 1], [0, 1])


def test_an_error_is_a_line_and_goes_on_up():
    made, lines = soak(Session(happened(called(1)), OomctlError("it broke")), Limits(9))
    with pytest.raises(OomctlError):
        made.run()
    assert [(line["verdict"], line["reason"]) for line in lines[1:]] == [("failed", "it broke")]
    (found,) = made.statistics()
    assert (found.rounds, found.ran) == (2, 1)


def test_variants_are_every_combination():
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
        return Place(lambda: "t", 1 << 30).plan(scenario.load(path), Variant(via=via))

    return make


TEXT = "[hog.a]\nsize='1M'\n"


def test_a_trigger_of_its_own_changes_nothing(plan):
    text = f"{TEXT}[[call]]\nvia='limit'\namount='1M'\n[expect]\nevents.oom=1"
    assert plan(text, "limit") == plan(text)
    assert triggered(plan(text), None) is not None


def test_another_trigger(plan):
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


def test_what_is_judged(plan):
    assert not judged(plan(TEXT))
    assert judged(plan(f"{TEXT}[expect]\nkills=1"))
    assert judged(plan(f"{TEXT}[[call]]\nexpect={{returns=1}}"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


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
def test_what_progress_says(total, seconds, done, says):
    assert Progress("busy", total, seconds).text(*done) == says


def test_without_a_terminal_a_line_a_minute(capsys):
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


@pytest.mark.parametrize(("total", "seconds"), [(20, None), (None, 60), (None, None)])
def test_a_terminal_gets_a_bar_that_is_wiped(monkeypatch, total, seconds):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("busy [red]", total, seconds) as progress:
        progress.done(7)
    text = terminal.getvalue()
    assert "busy [red]: 7" in text
    assert text.rstrip("\n").endswith("\x1b[2K")
    assert sys.stderr is terminal


def test_a_single_round_has_no_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("busy", 1, None) as progress:
        progress.done(1)
    assert terminal.getvalue() == ""
