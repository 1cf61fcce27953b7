"""What a plan expects."""

from oomctl.oom.plan import (
    EVENTS,
    EVENTS_LOCAL,
    Expect,
    Range,
)


def test_every_expectation(files):
    made = files.plan("""
        timeout = "1m"
        [hog.a]
        size = 1
        count = 2
        [expect]
        verdict = ["killed", "busy"]
        victims = "a"
        survivors = ["a-2"]
        collateral = 1
        kills = "1..2"
        returns = { 1 = 1, EBUSY = "0..3", -22 = "..2" }
        events.oom_kill = "2.."
        latency.exited = "2s"
    """)
    assert made.timeout == 60.0
    assert made.expect == Expect(
        verdicts=("killed", "busy"),
        victims=("a",),
        survivors=("a-2",),
        collateral=1,
        kills=Range(1, 2),
        returns={"1": Range(1, 1), "EBUSY": Range(0, 3), "EINVAL": Range(0, 2)},
        events={("/t", EVENTS): {"oom_kill": Range(2, None)}},
        latency={"exited": 2.0},
    )


def test_events_of_any_cgroup(files):
    made = files.plan("""
        call = []
        [hog.a]
        size = 1
        cgroup = "web/"
        [cgroup.web]
        [expect]
        events.oom = 1
        [expect.cgroup."."]
        events.max = 2
        [expect.cgroup."web/a"]
        events.oom_kill = 3
        events_local = { oom_kill = "4.." }
        [expect.cgroup.web]
    """)
    assert made.steps == ()
    assert made.expect.events == {
        ("/t", EVENTS): {"oom": Range(1, 1), "max": Range(2, 2)},
        ("/t/web/a", EVENTS): {"oom_kill": Range(3, 3)},
        ("/t/web/a", EVENTS_LOCAL): {"oom_kill": Range(4, None)},
    }


def test_events_of_the_top_are_those_of_an_existing_target(files):
    made = files.plan("""
        [[call]]
        target = "/else"
        [expect.cgroup."."]
        events.oom_kill = 1
    """)
    assert made.expect.events == {("/else", EVENTS): {"oom_kill": Range(1, 1)}}
