"""What a plan makes of hogs."""

import pytest
from hypothesis import given

from oomctl.oom.plan import (
    Call,
    Hog,
    Plan,
    Step,
)
from oomctl.scenario.fault import ScenarioError
from oomctl.scenario.planning import Site, plan
from tests.scenario_texts import valid
from tests.scenarios import SITE, M
from tests.unit.scenario.planning.settings import NO_SWAP, control


def test_a_hog_has_a_leaf_of_its_own_and_one_call_is_implied(files):
    made = files.plan('[hog.a]\nsize = "1M"')
    assert made == Plan(
        cgroups=("/t", "/t/a"),
        settings=(control("/"), NO_SWAP, control("/t")),
        hogs=(Hog("a", M, 0, "/t/a", entry="a"),),
        steps=(Step(Call("/t", 0, 1)),),
        top="/t",
    )


@pytest.mark.parametrize(
    ("count", "names"),
    [
        ("", ["a"]),
        ("count = 0", []),
        ("count = 1", ["a"]),
        ("count = 3", ["a-1", "a-2", "a-3"]),
    ],
)
def test_count_numbers_the_hogs(files, count, names):
    made = files.plan(f"[hog.a]\nsize = 1\n{count}")
    assert [hog.name for hog in made.hogs] == names
    assert {hog.entry for hog in made.hogs} <= {"a"}
    assert made.cgroups == ("/t", *(f"/t/{name}" for name in names))


def test_hogs_may_live_together(files):
    made = files.plan("[cgroup.a]\n[hog.x]\nsize = 1\ncount = 2\ncgroup = 'a'")
    assert made.cgroups == ("/t", "/t/a")
    assert [hog.cgroup for hog in made.hogs] == ["/t/a", "/t/a"]


def test_a_hog_may_live_in_the_top_and_in_another_hogs_leaf(files):
    assert files.plan("[hog.x]\nsize = 1\ncgroup = '.'").cgroups == ("/t",)
    made = files.plan("[hog.x]\nsize = 1\n[hog.y]\nsize = 1\ncgroup = 'x'")
    assert [hog.cgroup for hog in made.hogs] == ["/t/x", "/t/x"]


def test_every_key_of_a_hog(files):
    made = files.plan("""
        [cgroup.c]
        [hog.a]
        size = "8M"
        kind = "threads"
        tasks = 4
        oom_score_adj = -17
        comm = "a b"
        thp = true
        rate = "2M"
        working_set = "50%"
        may_fail = true
        [hog.s]
        kind = "shared"
        size = 1
        sharer = "c"
        [hog.t]
        kind = "traced"
        size = 1
        [hog.u]
        kind = "traced"
        size = 1
        hold = "100ms"
        [hog.f]
        kind = "file"
        size = 1
        path = "/etc/hostname"
        working_set = 1
    """)
    a, s, t, u, f = made.hogs
    assert a == Hog(
        name="a",
        size=8 * M,
        oom_score_adj=-17,
        cgroup="/t/a",
        kind="threads",
        comm="a b",
        entry="a",
        thp=True,
        rate=2 * M,
        working_set=4 * M,
        tasks=4,
        may_fail=True,
    )
    assert (s.kind, s.sharer) == ("shared", "/t/c")
    assert (t.hold, u.hold, a.hold) == (1.0, 0.1, 0.0)
    assert (f.path, f.working_set) == ("/etc/hostname", 1)


def test_a_plan_is_made_again_with_another_name(files):
    written = files.load('[hog.a]\nsize = "1M"')
    first, second = (
        plan(written, Site(lambda name=name: name, 1 << 30)) for name in ("one", "two")
    )
    assert (first.top, second.top) == ("/one", "/two")
    assert first.hogs[0].size == second.hogs[0].size


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[hog.a]\nsize = "2G"',
            "hog.a.size: hog 'a' wants 2G but this machine has 2G; "
            "make it smaller, or write may_fail = true",
        ),
        (
            '[hog.a]\nsize = "1500M"\n[hog.b]\nsize = "50%"',
            "hog: the hogs want 2.5G but this machine has 2G; "
            "make them smaller, or write may_fail = true",
        ),
        (
            '[cgroup.c]\nmemory.max = "1%"\n[hog.a]\nsize = "40M"\ncgroup = "c"',
            "hog.a.size: hog 'a' wants 40M but memory.max of 'c' is 20.5M; the limit would kill it "
            "before the call; raise it or shrink it, or write may_fail = true",
        ),
    ],
)
def test_the_machine_may_be_too_small(files, text, line):
    assert files.faults(text) == [line]
    with pytest.raises(ScenarioError) as caught:
        plan(files.load(text), SITE)
    assert files.bare(caught.value.lines) == [line]


@given(valid())
def test_every_plan_can_be_carried_out(written):
    made = plan(written, Site(lambda: "t", 1 << 40))
    seen = {"/"}
    for cgroup in made.cgroups:
        assert cgroup.rpartition("/")[0] in seen - {"/"} | {""}
        assert cgroup not in seen
        seen.add(cgroup)
    inner = {cgroup.rpartition("/")[0] for cgroup in made.cgroups}
    given_down = {s.cgroup for s in made.settings if s == control(s.cgroup)}
    for hog in made.hogs:
        assert hog.cgroup in made.cgroups
        assert hog.cgroup not in inner
        assert 0 <= hog.size < 1 << 40
        assert len(hog.label) <= 15
    assert len({hog.name for hog in made.hogs}) == len(made.hogs)
    assert {each for each in inner if each} <= given_down
    for each in made.settings:
        assert each.cgroup in made.cgroups or each.cgroup == "/"
        assert each.value.lstrip("+").isalnum()
    for step in made.steps:
        assert step.call.target is None or step.call.target in seen
        assert step.recheck is None or step.call.flags == 0
