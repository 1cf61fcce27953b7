"""The spec of a smoke case becomes a plan in a fresh tree."""

from oomctl.oom.plan import EVENTS, Call, Hog, Range, Setting, Step
from oomctl.smoke.spec import CaseSpec, M, call, hog, spec

TOP = "/oomctl-1-smoke-abc"
COUNTED = ".", EVENTS


def written(plan, file):
    return {s.cgroup: s.value for s in plan.settings if s.file == file}


def test_a_hog_without_a_cgroup_has_a_leaf_of_its_own_name():
    plan = spec(hog("a", M), hog("b", M, at="x/y"), hog("c", M, at="x/y")).plan(TOP)
    assert [each.cgroup for each in plan.hogs] == [f"{TOP}/a", f"{TOP}/x/y", f"{TOP}/x/y"]
    assert plan.cgroups == (TOP, f"{TOP}/a", f"{TOP}/x", f"{TOP}/x/y")


def test_every_cgroup_comes_after_its_parent_and_once():
    made_spec = CaseSpec(
        hogs=(hog("a", M, at="p/q/r"), hog("b", M, at="p/s")),
        files={"p/q": {"memory.max": "8M"}},
        cgroups=("t/u", "p"),
    )
    made = made_spec.plan(TOP).cgroups
    assert len(made) == len(set(made))
    for path in made[1:]:
        assert path.rpartition("/")[0] in made[: made.index(path)]


def test_inner_cgroups_enable_memory_for_their_children_and_leaves_do_not():
    plan = spec(hog("a", M, at="p/q")).plan(TOP)
    assert written(plan, "cgroup.subtree_control") == {
        "/": "+memory",
        TOP: "+memory",
        f"{TOP}/p": "+memory",
    }


def test_a_tree_has_no_swap_unless_files_says_so():
    assert written(spec().plan(TOP), "memory.swap.max") == {TOP: "0"}
    made_spec = spec(files={".": {"memory.swap.max": "max"}})
    assert written(made_spec.plan(TOP), "memory.swap.max") == {TOP: "max"}
    assert [s.optional for s in spec().plan(TOP).settings if "swap" in s.file] == [True]
    assert [s.optional for s in made_spec.plan(TOP).settings if "swap" in s.file] == [False]


def test_limits_are_written_before_the_cgroup_has_children():
    plan = spec(hog("a", M), files={".": {"memory.max": "64M"}}).plan(TOP)
    of_top = [setting for setting in plan.settings if setting.cgroup == TOP]
    assert of_top[-1] == Setting(TOP, "cgroup.subtree_control", "+memory")
    assert Setting(TOP, "memory.max", "64M") in of_top


def test_paths_of_targets_and_callers_are_below_the_top():
    steps = (Step(call("a")), Step(Call(None)), Step(call(), caller_cgroup="c"))
    plan = spec(hog("a", M), calls=steps).plan(TOP)
    assert [step.call.target for step in plan.steps] == [f"{TOP}/a", None, TOP]
    assert [step.caller_cgroup for step in plan.steps] == ["", "", f"{TOP}/c"]
    assert f"{TOP}/c" in plan.cgroups


def test_the_cgroup_of_a_sharer_is_made_too():
    plan = spec(Hog("s", M, cgroup="in", kind="shared", sharer="out")).plan(TOP)
    assert plan.hogs[0].sharer == f"{TOP}/out"
    assert f"{TOP}/out" in plan.cgroups


def test_expectations_follow_from_the_victims():
    expect = spec(hog("a", M), hog("b", M), dies=("b",), calls=[call()] * 2).expect
    assert (expect.victims, expect.survivors) == (("b",), ("a",))
    assert expect.kills == Range(1, 1)
    assert expect.returns == {"1": Range(2, 2)}
    assert expect.events[COUNTED]["oom_kill"] == Range(1, 1)
    assert expect.events[COUNTED]["oom"] == expect.events[COUNTED]["max"] == Range(0, 0)


def test_the_first_of_a_group_may_be_counted_twice():
    expect = spec(hog("a", M), hog("b", M), dies=("a", "b"), group_kills=1).expect
    assert expect.events[COUNTED]["oom_kill"] == Range(2, 3)
    assert expect.events[COUNTED]["oom_group_kill"] == Range(1, 1)
    assert expect.kills == Range(2, 2)


def test_several_callers_count_as_several_calls():
    expect = spec(calls=(Step(call(), callers=8, repeat=2),), returns="EBUSY").expect
    assert expect.returns == {"EBUSY": Range(16, 16)}


def test_expectations_can_be_changed():
    made_spec = spec(hog("a", M)).losing("a").counting(oom_kill=1)
    assert made_spec.expect.survivors == ()
    assert made_spec.expect.events[COUNTED]["oom_kill"] == Range(1, 1)
    caller = spec(hog("a", M)).losing_the_caller().expect
    assert (caller.victims, caller.kills, caller.survivors) == (None, Range(1, 1), ("a",))
