"""Expectations of a plan held against outcomes."""

from dataclasses import replace

import pytest

from oomctl.oom.expectation import check_outcome
from oomctl.oom.fate import Fate
from oomctl.oom.outcome import Check
from oomctl.oom.plan import EVENTS, EVENTS_LOCAL, Call, CallExpect, Expect, Plan, Range, Step
from tests.outcomes import OUTCOMES, TARGET
from tests.rounds import called, happened

CALL = Call(TARGET)


def plan(expect=None, *steps):
    return Plan((), (), (), steps or (Step(CALL),), top=TARGET, expect=expect)


def checks(expect, outcome, *steps):
    return check_outcome(plan(expect, *steps), outcome)


ONE = happened(called(1), oom=2)
FATED = {row.name: row for row in ONE.tasks}


def with_tasks(*tasks):
    return replace(ONE, tasks=tasks)


def rising(counters, cgroup=TARGET, file=EVENTS):
    return Expect(events={(cgroup, file): counters})


def fate(hog, kind, **more):
    return replace(FATED[hog], fate=Fate(kind), **more)


def test_nothing_expected_is_nothing_checked():
    assert checks(None, ONE) == ()
    assert checks(Expect(), ONE) == ()


@pytest.mark.parametrize(
    ("expect", "outcome", "wanted"),
    [
        (
            Expect(verdicts=("killed",)),
            ONE,
            [Check("verdict is killed", True, "killed: the kernel killed large (pid 303)")],
        ),
        (
            Expect(verdicts=("busy", "group-killed")),
            ONE,
            [("verdict is busy or group-killed", False)],
        ),
        (
            Expect(victims=("large",)),
            ONE,
            [
                Check("victims are large", True, "killed: large"),
                Check("no other task dies", True, "killed besides: none"),
            ],
        ),
        (
            Expect(victims=("small", "large")),
            ONE,
            [("victims are small, large", False), ("no other task dies", True)],
        ),
        (
            Expect(victims=("small",), collateral=1),
            ONE,
            [("victims are small", False), ("at most 1 others die", True)],
        ),
        (Expect(victims=()), ONE, [Check("no task dies", False, "killed: large")]),
        (Expect(victims=(), collateral=1), ONE, [("at most 1 die", True)]),
        (
            Expect(victims=("pool",)),
            with_tasks(*(fate(name, "oom-killed", entry="pool") for name in FATED)),
            [("victims are pool", True), ("no other task dies", True)],
        ),
        (
            Expect(victims=("large",)),
            with_tasks(fate("large", "cgroup-killed"), fate("large", "oom-killed", name=None)),
            [
                ("victims are large", True),
                Check("no other task dies", False, "killed besides: large (not ours)"),
            ],
        ),
        (
            Expect(victims=("large",)),
            with_tasks(fate("large", "killed"), fate("small", "dying")),
            [("victims are large", False), ("no other task dies", True)],
        ),
        (
            Expect(survivors=("small", "medium")),
            ONE,
            [Check("survivors are small, medium", True, "all of them live")],
        ),
        (
            Expect(survivors=("large", "ghost")),
            ONE,
            [Check("survivors are large, ghost", False, "there is no ghost; large oom-killed")],
        ),
        (
            Expect(survivors=("small",)),
            with_tasks(fate("small", "gone")),
            [("survivors are small", False)],
        ),
        (Expect(kills=Range(1, 1)), ONE, [Check("kills: 1", True, "1 died")]),
        (Expect(kills=Range(2, None)), ONE, [("kills: at least 2", False)]),
        (
            rising({"oom": Range(2, 2), "oom_kill": Range(0, 0), "none": Range(0, None)}),
            ONE,
            [
                Check("oom rises by 2", True, "it rose by 2"),
                ("oom_kill rises by 0", False),
                Check("none rises by at least 0", None, "not counted"),
            ],
        ),
        (
            Expect(returns={"1": Range(1, 1), "EBUSY": Range(0, 0), "-EINTR": Range(1, None)}),
            ONE,
            [
                Check("calls returning 1: 1", True, "1"),
                ("calls returning EBUSY: 0", True),
                ("calls returning EINTR: at least 1", False),
            ],
        ),
        (
            Expect(latency={"killed": 0.008, "exited": 0.02, "reaped": 1.0}),
            ONE,
            [
                Check("killed within 8.00 ms", True, "it came after 8.00 ms"),
                Check("exited within 20.0 ms", False, "it came after 27.0 ms"),
                Check("reaped within 1.00 s", None, "that moment was not seen"),
            ],
        ),
        (
            Expect(latency={"killed": 1.0}),
            happened(called(-22), dead=None),
            [Check("killed within 1.00 s", None, "no call killed a task")],
        ),
        (
            Expect(latency={"killed": 0.009}),
            happened(called(1), called(1, shift=5_000_000)),
            [Check("killed within 9.00 ms", False, "it came after 13.0 ms")],
        ),
    ],
)
def test_a_round(expect, outcome, wanted):
    found = checks(expect, outcome)
    assert [
        each if isinstance(want, Check) else (each.name, each.passed)
        for each, want in zip(found, wanted, strict=True)
    ] == wanted


def test_a_latency_that_was_not_seen_of_every_call_is_not_said_to_hold():
    unseen = replace(called(1), timeline=replace(called(1).timeline, stamps=()))
    (found,) = checks(Expect(latency={"killed": 1.0}), happened(called(1), unseen))
    assert found.passed is None


IN_WEB = replace(
    ONE,
    events={f"{TARGET}/web": {"oom_kill": 3}},
    events_local={f"{TARGET}/web": {"oom_kill": 1}, TARGET: {"oom_kill": 0}},
)


@pytest.mark.parametrize(
    ("cgroup", "file", "wanted"),
    [
        (f"{TARGET}/web", EVENTS, Check("oom_kill of ./web rises by 1", False, "it rose by 3")),
        (f"{TARGET}/web", EVENTS_LOCAL, ("local oom_kill of ./web rises by 1", True)),
        (f"{TARGET}/gone", EVENTS, ("oom_kill of ./gone rises by 1", None)),
        (TARGET, EVENTS_LOCAL, Check("local oom_kill rises by 1", False, "it rose by 0")),
        (TARGET, EVENTS, Check("oom_kill rises by 1", None, "not counted")),
    ],
)
def test_events_of_any_cgroup(cgroup, file, wanted):
    (found,) = checks(rising({"oom_kill": Range(1, 1)}, cgroup, file), IN_WEB)
    assert (found if isinstance(wanted, Check) else (found.name, found.passed)) == wanted


def test_a_task_that_died_before_the_call_is_a_victim_as_well():
    early = with_tasks(
        fate("large", "oom-killed"), fate("small", "oom-killed", call=None, died_after_ns=None)
    )
    found = checks(Expect(victims=("small", "large"), kills=Range(2, 2)), early)
    assert [each.passed for each in found] == [True, True, True]


def test_limits_alone_are_judged_without_a_call():
    alone = replace(ONE, calls=())
    wanted = Expect(victims=("large",), survivors=("small",), kills=Range(1, 1))
    made = Plan((), (), (), (), top=TARGET, expect=wanted)
    assert [each.passed for each in check_outcome(made, alone)] == [True] * 4


def step(**expect):
    return Step(CALL, expect=CallExpect(**expect))


@pytest.mark.parametrize(
    ("step", "calls", "wanted"),
    [
        (step(returns=("1",)), [called(1)], Check("call 1 returns 1", True, "1")),
        (
            step(returns=("1", "EBUSY")),
            [called(1), called(-16), called(-16)],
            Check("call 1 returns 1 or EBUSY", True, "EBUSY: 2 times, 1: 1 time"),
        ),
        (step(returns=("-EINVAL",)), [called(-22)], ("call 1 returns EINVAL", True)),
        (step(returns=("none",)), [called(None)], ("call 1 returns none", True)),
        (step(returns=("ENOTSUPP",)), [called(-524)], ("call 1 returns ENOTSUPP", True)),
        (step(returns=("-4000",)), [called(-4000)], ("call 1 returns -4000", True)),
        (step(returns=("1",)), [called(1), called(0)], ("call 1 returns 1", False)),
        (step(returns=("1",)), [], Check("call 1 returns 1", False, "the call was not made")),
        (step(verdicts=("killed",)), [called(1)], ("call 1 has verdict killed", True)),
        (step(verdicts=("busy",)), [called(1)], ("call 1 has verdict busy", False)),
        (step(verdicts=("busy",)), [], ("call 1 has verdict busy", False)),
        (
            step(victims=("large",)),
            [called(1)],
            Check("call 1 kills large", True, "killed: large"),
        ),
        (
            step(victims=("large",)),
            [called(1), called(1, kills=False)],
            ("call 1 kills large", False),
        ),
        (step(victims=("small",)), [called(1)], ("call 1 kills small", False)),
        (step(victims=()), [called(1, kills=False)], ("call 1 kills no task", True)),
        (step(victims=()), [called(1)], ("call 1 kills no task", False)),
        (step(victims=()), [], ("call 1 kills no task", False)),
    ],
)
def test_a_step(step, calls, wanted):
    (found,) = checks(None, replace(ONE, calls=tuple(calls)), step)
    assert (found if isinstance(wanted, Check) else (found.name, found.passed)) == wanted


def test_a_step_judges_only_its_own_calls():
    calls = (called(1), replace(called(-22), step=1))
    steps = step(returns=("1",)), step(returns=("EINVAL",))
    found = checks(None, replace(ONE, calls=calls), *steps)
    assert [(each.name, each.passed) for each in found] == [
        ("call 1 returns 1", True),
        ("call 2 returns EINVAL", True),
    ]


def test_a_task_that_shares_memory_is_not_chosen():
    outcome = OUTCOMES["observed"]
    found = checks(None, replace(outcome, calls=outcome.calls[:1]), step(victims=("large",)))
    assert [each.passed for each in found] == [True]


def test_an_unknown_victim_is_not_the_wanted_one():
    outcome = replace(ONE, tasks=ONE.tasks[:2])
    (found,) = checks(None, outcome, step(victims=()))
    assert found == Check("call 1 kills no task", False, "killed: an unknown task")


@pytest.mark.parametrize("name", OUTCOMES)
def test_names_hold_nothing_that_differs_from_round_to_round(name):
    expect = Expect(
        verdicts=("killed",),
        victims=("large",),
        survivors=("small",),
        kills=Range(0, 3),
        returns={"1": Range(1, None)},
        events={(TARGET, EVENTS): {"oom_kill": Range(1, 1)}},
        latency={"exited": 2.0},
    )
    whole = step(returns=("1",), verdicts=("killed",), victims=())
    assert [each.name for each in checks(expect, OUTCOMES[name], whole)] == [
        *("verdict is killed", "victims are large", "no other task dies", "survivors are small"),
        *("kills: 0 to 3", "calls returning 1: at least 1", "oom_kill rises by 1"),
        *("exited within 2.00 s", "call 1 returns 1", "call 1 has verdict killed"),
        "call 1 kills no task",
    ]
