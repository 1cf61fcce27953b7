"""What a plan makes of calls and actions, and of a call without hogs."""

import pytest

from oomctl.oom.enums import Do, Occasion
from oomctl.oom.plan import (
    Action,
    After,
    Call,
    CallExpect,
    Plan,
    Recheck,
    Step,
)
from tests.scenarios import M
from tests.unit.scenario.planning.settings import NO_SWAP, control


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
