from dataclasses import replace

import pytest
from hypothesis import given

from oomctl.describe.plan_text import describe
from oomctl.errors import UsageError
from oomctl.oom.enums import Do, Occasion
from oomctl.oom.plan import (
    EVENTS,
    EVENTS_LOCAL,
    Action,
    After,
    Call,
    CallExpect,
    Expect,
    Hog,
    Plan,
    Range,
    Recheck,
    Setting,
    Step,
)
from oomctl.scenario import model, of_options
from oomctl.scenario.fault import ScenarioError
from oomctl.scenario.planning import Existing, Site, plan
from tests.scenario_texts import valid
from tests.scenarios import SITE, M


def setting(cgroup, file, value, optional=False):
    return Setting(cgroup, file, str(value), optional)


def control(cgroup, name="memory"):
    return setting(cgroup, "cgroup.subtree_control", f"+{name}")


NO_SWAP = setting("/t", "memory.swap.max", 0, optional=True)


def test_a_hog_has_a_leaf_of_its_own_and_one_call_is_implied(files):
    made = files.plan('[hog.a]\nsize = "1M"')
    assert made == Plan(
        cgroups=("/t", "/t/a"),
        settings=(control("/"), NO_SWAP, control("/t")),
        hogs=(Hog("a", M, 0, "/t/a", entry="a"),),
        steps=(Step(Call("/t", 0, 1)),),
        top="/t",
    )


def test_a_step_is_its_actions_in_order(files):
    made = files.plan(
        """
        [cgroup."."]
        memory.max = "64M"
        [cgroup.left]
        [cgroup.right]
        [hog.a]
        size = "1M"
        count = 2
        cgroup = "left"
        [[step]]
        after = "a.exited"
        delay = "1ms"
        start = "a-2"
        remove = "left"
        move.a = "right"
        freeze = "."
        sysfs."/sys/kernel/mm/ksm/run" = 1
        sysctl.vm.swappiness = 0
        cgroup.left = { memory.max = "50%", memory.oom.group = true, pids.max = 9 }
        may_fail = true
    """
    )
    after = After(Occasion.EXITED, ("a-1", "a-2"), delay=0.001)
    assert made.actions == tuple(
        Action(0, after, do, cgroup, hog, file, value, may_fail=True)
        for do, cgroup, hog, file, value in (
            (Do.WRITE, "/t/left", "", "memory.max", str(32 * M)),
            (Do.WRITE, "/t/left", "", "memory.oom.group", "1"),
            (Do.WRITE, "/t/left", "", "pids.max", "9"),
            (Do.SYSCTL, "", "", "vm.swappiness", "0"),
            (Do.SYSFS, "", "", "/sys/kernel/mm/ksm/run", "1"),
            (Do.WRITE, "/t", "", "cgroup.freeze", "1"),
            (Do.MOVE, "/t/right", "a-1", "", ""),
            (Do.MOVE, "/t/right", "a-2", "", ""),
            (Do.REMOVE, "/t/left", "", "", ""),
            (Do.START, "", "a-2", "", ""),
        )
    )
    assert made.late == {"a-2"}
    assert control("/t", "pids") in made.settings
    assert [one.name for one in made.all_sysctls] == ["vm.swappiness"]


@pytest.mark.parametrize(
    ("written", "after"),
    {
        "": After(),
        "after = 2": After(Occasion.STARTED, delay=2.0),
        "after = '100ms'\ndelay = 1": After(Occasion.STARTED, delay=1.1),
        "after = 'filled'": After(),
        "after = 'a.filled'": After(Occasion.FILLED, ("a",)),
        "after = 'a.marked'": After(Occasion.MARKED, ("a",)),
        "after = 'call[0].returned'": After(Occasion.RETURNED),
    }.items(),
)
def test_what_a_step_comes_after(files, written, after):
    (action,) = files.plan(f"[[step]]\nthaw = '.'\n{written}\n[hog.a]\nsize = 0").actions
    assert action.after == after


def test_a_step_alone_has_a_tree(files):
    assert files.plan("call = []\n[[step]]\nfreeze = '.'").cgroups == ("/t",)


def test_a_later_hog_needs_no_room_below_a_limit(files):
    text = """
        [cgroup."."]
        memory.max = "8M"
        [hog.a]
        size = "6M"
        [hog.late]
        size = "6M"
    """
    assert "the hogs want 12M" in files.faults(text)[0]
    assert files.plan(f"{text}[[step]]\nstart = 'late'").late == {"late"}


def test_a_call_alone_is_on_an_empty_cgroup(files):
    made = files.plan("[[call]]")
    assert (made.cgroups, made.hogs, made.top) == (("/t",), (), "/t")
    assert made.settings == (control("/"), NO_SWAP)


def test_a_system_wide_call_alone_makes_no_cgroup(files):
    made = files.plan("[[call]]\nglobal = true")
    assert made == Plan((), (), (), (Step(Call(None)),), None)


def test_a_call_on_an_existing_cgroup_alone_makes_no_cgroup(files):
    made = files.plan("[[call]]\ntarget = '/a//b/'")
    assert made == Plan((), (), (), (Step(Call("/a/b", 0, 1)),), "/a/b")


def test_hogs_beside_a_system_wide_call_have_a_cgroup(files):
    made = files.plan("[[call]]\nglobal = true\n[hog.a]\nsize = 0")
    assert (made.top, made.steps[0].call.target) == ("/t", None)


def test_every_file_of_a_cgroup_is_written_before_its_children_are_made(files):
    made = files.plan(
        """
        [cgroup."."]
        memory.max = "256M"
        memory.high = 1000
        memory.low = "50%"
        memory.min = "max"
        memory.swap.max = "1M"
        memory.swap.high = "max"
        memory.oom.group = true
        pids.max = 9
    """.replace('"max"\n        memory.swap.max', '"1M"\n        memory.swap.max')
    )
    assert made.settings == (
        control("/"),
        control("/", "pids"),
        setting("/t", "memory.max", 256 * M),
        setting("/t", "memory.high", 1000),
        setting("/t", "memory.low", 128 * M),
        setting("/t", "memory.min", M),
        setting("/t", "memory.swap.max", M),
        setting("/t", "memory.swap.high", "max"),
        setting("/t", "memory.oom.group", 1),
        setting("/t", "pids.max", 9),
        setting("/t", "memory.zswap.max", 0, optional=True),
    )


ZEROS = {
    **dict.fromkeys(["memory.max", "memory.high", "memory.low", "memory.min"], "0"),
    **dict.fromkeys(["memory.swap.max", "memory.swap.high", "memory.zswap.max"], '"0"'),
    "pids.max": "0",
    "memory.oom.group": "false",
}


@pytest.mark.parametrize("cgroup", [".", "child", "child/inner"])
@pytest.mark.parametrize(("file", "value"), ZEROS.items())
def test_a_value_of_0_is_written(files, file, value, cgroup):
    optional = "swap" in file  # a kernel without swap has no such file, and no swap either
    made = files.plan(
        f"""
        [cgroup."."]
        memory.swap.max = "64M"
        [cgroup."{cgroup}"]
        {file} = {value}
    """
        if cgroup != "."
        else f'[cgroup."."]\n{file} = {value}'
    )
    path = "/t" if cgroup == "." else f"/t/{cgroup}"
    assert setting(path, file, 0, optional) in made.settings
    shown = f"write   {path}/{file} = 0{' (if the kernel has it)' * optional}"
    assert shown in describe(made)


@pytest.mark.parametrize("share", ["0%", "0.00001%"])
def test_a_percentage_that_amounts_to_0_is_written(files, share):
    made = files.plan(f'[cgroup.a]\nmemory.max = "{share}"\nmemory.high = "50%"')
    assert setting("/t/a", "memory.max", 0) in made.settings
    assert setting("/t/a", "memory.high", 0) in made.settings


def test_controllers_are_enabled_where_children_need_them(files):
    made = files.plan("""
        [cgroup."a/b"]
        pids.max = 5
        [cgroup.c]
        [hog.x]
        size = 0
        cgroup = "c/"
    """)
    assert made.cgroups == ("/t", "/t/a", "/t/a/b", "/t/c", "/t/c/x")
    assert [s for s in made.settings if "subtree" in s.file] == [
        control("/"),
        control("/", "pids"),
        control("/t"),
        control("/t", "pids"),
        control("/t/a"),
        control("/t/a", "pids"),
        control("/t/c"),
    ]


@pytest.mark.parametrize(
    ("site", "file", "parent"),
    [
        (None, None, ""),
        ("/", None, ""),
        ("/a.slice/b", None, "/a.slice/b"),
        (None, "/of/file/", "/of/file"),
        ("/of/option", "/of/file", "/of/option"),
    ],
)
def test_the_top_is_made_in_a_parent_and_the_root_is_left_alone(files, site, file, parent):
    text = f'parent = "{file}"\n[[call]]' if file else "[[call]]"
    made = files.plan(text, site=Site(lambda: "t", 1 << 30, site))
    assert made.cgroups == (f"{parent}/t",)
    assert made.settings[0] == control(parent or "/")
    assert made.steps[0].call.target == f"{parent}/t"


def test_percentages_are_of_the_nearest_limit_or_of_the_machine(files):
    made = files.plan("""
        [cgroup.a]
        memory.max = "50%"
        [cgroup."a/b"]
        memory.max = "25%"
        memory.low = "50%"
        [cgroup."a/b/c"]
        [hog.machine]
        size = "1%"
        [hog.in_a]
        size = "10%"
        cgroup = "a/"
        [hog.in_c]
        size = "12.5%"
        cgroup = "a/b/c"
    """)
    values = {(s.cgroup, s.file): s.value for s in made.settings}
    assert values["/t/a", "memory.max"] == str(1024 * M)
    assert values["/t/a/b", "memory.max"] == str(256 * M)
    assert values["/t/a/b", "memory.low"] == str(128 * M)
    sizes = {hog.name: hog.size for hog in made.hogs}
    assert sizes == {
        "machine": 2048 * M // 100 & ~4095,
        "in_a": 1024 * M // 10 & ~4095,
        "in_c": 32 * M,
    }


def test_percentages_ignore_a_limit_of_max(files):
    made = files.plan("""
        [cgroup.a]
        memory.max = "max"
        [hog.x]
        size = "50%"
        cgroup = "a"
    """)
    assert made.hogs[0].size == 1024 * M


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


def test_every_key_of_a_call(files):
    made = files.plan("""
        [cgroup."."]
        memory.max = "64M"
        [hog.a]
        size = "8M"
        [[call]]
        order = -1
        flags = 18446744073709551615
        callers = 4
        repeat = 2
        delay = "100ms"
        until = "freed"
        [[call]]
        target = "a"
        wait = false
        [[call]]
        recheck = "50%"
        [[call]]
        target = "a"
        recheck = { above = "50%", every = "10ms" }
        [[call]]
        via = "limit"
        amount = "25%"
        [[call]]
        via = "reclaim"
        amount = 4096
        target = "a"
        until = "returned"
        [[call]]
        via = "sysrq"
        global = true
        [[call]]
        via = "kill"
        target = "/else"
        expect = { returns = [0, -16, "-EINTR", "none"], verdict = "none-died", victims = [] }
    """)
    assert made.steps == (
        Step(Call("/t", -1, 2**64 - 1), 4, 2, 0.1, "freed"),
        Step(Call("/t/a")),
        Step(Call("/t"), recheck=Recheck(32 * M)),
        Step(Call("/t/a"), recheck=Recheck(4 * M, 0.01)),
        Step(Call("/t", 0, 1, "limit", 16 * M)),
        Step(Call("/t/a", 0, 1, "reclaim", 4096), until="returned"),
        Step(Call(None, via="sysrq")),
        Step(
            Call("/else", 0, 1, "kill"),
            expect=CallExpect(("0", "EBUSY", "EINTR", "none"), ("none-died",), ()),
        ),
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


def test_options_become_the_plan_that_a_file_has(files):
    written = files.plan("""
        timeout = 5
        [cgroup."."]
        memory.max = "64M"
        memory.swap.max = 0
        memory.oom.group = true
        [hog.a]
        size = "1M"
        oom_score_adj = -5
        [[call]]
        order = 3
        repeat = 2
    """)
    options = of_options(
        [Hog("a", M, -5)],
        model.Call(order=3, repeat=2),
        memory_max=64 * M,
        oom_group=True,
        timeout=5.0,
    )
    assert plan(options, SITE) == written


def test_options_of_0_are_written():
    made = plan(of_options([], model.Call(), memory_max=0, swap_max=0), SITE)
    assert setting("/t", "memory.max", 0) in made.settings
    assert NO_SWAP in made.settings
    assert plan(of_options([], model.Call(), memory_max=0), SITE) == made


def test_options_for_the_whole_system():
    assert plan(of_options([], model.Call(is_global=True)), SITE).cgroups == ()
    assert plan(of_options([Hog("a", 1)], model.Call(is_global=True)), SITE).cgroups == (
        "/t",
        "/t/a",
    )


@pytest.mark.parametrize("limit", [0, 1, 3 * M - 1, 3 * M])
def test_a_limit_below_the_hogs_is_a_fault_of_the_option(limit):
    hogs = [Hog("a", M), Hog("b", 2 * M)]
    with pytest.raises(UsageError) as caught:
        plan(of_options(hogs, model.Call(), memory_max=limit), SITE)
    (line,) = caught.value.lines
    assert "--memory-max is" in line
    assert line.endswith("; raise it or shrink them")
    together = line.startswith("the hogs want 3M but --memory-max is ")
    assert together is (limit >= 2 * M)


def in_existing(children_get, *hogs):
    site = replace(SITE, existing=Existing("/x", children_get))
    return plan(of_options(hogs, model.Call(order=3, target="/x")), site)


def test_an_existing_cgroup_is_not_changed():
    hog = Hog("a", M)
    bare = in_existing({"memory"})
    assert (bare.cgroups, bare.settings, bare.hogs, bare.top) == ((), (), (), "/x")
    joined = in_existing((), hog)
    assert joined.hogs == (Hog("a", M, 0, "/x", entry="a"),)
    assert (joined.cgroups, joined.settings, joined.top) == ((), (), "/x")

    made = in_existing({"memory", "pids"}, hog)
    assert made.cgroups == ("/x/t", "/x/t/a")
    assert made.settings == (control("/x/t"),)
    assert made.hogs == (Hog("a", M, 0, "/x/t/a", entry="a"),)
    assert made.steps == (Step(Call("/x", 3, 1)),)
    assert made.top == "/x"

    without = in_existing({"pids"}, hog)
    assert (without.settings, without.cgroups) == ((), ("/x/t", "/x/t/a"))


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
