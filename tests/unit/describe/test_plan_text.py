import pytest

from oomctl.describe.plan_text import describe
from oomctl.oom.enums import Via
from oomctl.oom.plan import (
    EVENTS,
    EVENTS_LOCAL,
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

M = 1 << 20


NO_CALL = "no call: limits alone"


def lines(hogs=(), steps=(), **more):
    """What is said of a plan, but for that it has no call."""
    plan = Plan((), (), tuple(hogs), tuple(steps), "/t", **more)
    return [line for line in describe(plan) if line != NO_CALL]


def test_every_step_in_order():
    whole = Plan(
        ("/t", "/t/a"),
        (
            Setting("/", "cgroup.subtree_control", "+memory"),
            Setting("/t", "memory.max", str(4 * M)),
            Setting("/t", "memory.swap.max", "0", optional=True),
            Setting("/t", "cgroup.subtree_control", "+memory"),
        ),
        (Hog("a", M, -5, "/t/a"),),
        (Step(Call("/t", 11, 2), repeat=3),),
        "/t",
    )
    assert describe(whole) == [
        "write   /cgroup.subtree_control = +memory",
        "mkdir   /t",
        "write   /t/memory.max = 4194304",
        "write   /t/memory.swap.max = 0 (if the kernel has it)",
        "write   /t/cgroup.subtree_control = +memory",
        "mkdir   /t/a",
        "hog     a: 1M of anonymous memory in /t/a, oom_score_adj -5",
        "call    bpf_out_of_memory(memcg of /t, order=11, flags=0x2), 3 times",
        "remove  hogs and cgroups",
    ]


def test_a_call_alone():
    assert lines(steps=[Step(Call("/t"))]) == [
        "call    bpf_out_of_memory(memcg of /t, order=0, flags=0)"
    ]


@pytest.mark.parametrize("via", ["bpf", "sysrq"])
def test_a_call_on_the_whole_system_says_that_it_is_the_machines(via):
    call, reach = lines(steps=[Step(Call(None, via=Via(via)))])
    assert call.startswith("call    ")
    assert reach == "        on the whole MACHINE: its largest task dies, be it a hog or not"


def test_without_a_call_the_limits_do_the_killing():
    made = Plan(("/t",), (Setting("/t", "memory.max", "0"),), (Hog("a", M, 0, "/t"),), ())
    assert describe(made) == [
        "mkdir   /t",
        "write   /t/memory.max = 0",
        "hog     a: 1M of anonymous memory in /t, oom_score_adj 0",
        NO_CALL,
        "remove  hogs and cgroups",
    ]


def test_what_is_kept():
    assert describe(Plan(("/t",), (), (), (), keep=True))[-1] == "keep    hogs and cgroups"


@pytest.mark.parametrize(
    ("hog", "said"),
    [
        (Hog("a", M, kind="file", path="/x"), ["of page cache", "read from /x"]),
        (Hog("a", M, kind="shmem"), ["of shared memory"]),
        (Hog("a", M, kind="hugetlb"), ["of huge pages"]),
        (Hog("a", M, kind="mlock"), ["of locked memory"]),
        (Hog("a", M, kind="pipe"), ["of pipe buffers"]),
        (Hog("a", M, kind="socket"), ["of socket buffers"]),
        (Hog("a", M, kind="slab"), ["of dentries and inodes"]),
        (Hog("a", M, kind="threads", tasks=4), ["of anonymous memory", "4 threads"]),
        (Hog("a", M, kind="forker"), ["1 child, each replaced when it ends"]),
        (Hog("a", M, kind="forker", tasks=2), ["2 children"]),
        (Hog("a", M, kind="shared", sharer="/s"), ["shared with a process in /s"]),
        (Hog("a", M, kind="stopped"), ["stopped"]),
        (Hog("a", M, kind="traced", hold=1.5), ["held by a tracer for 1.50 s when it exits"]),
        (Hog("a", M, comm="name"), ["its comm is name"]),
        (Hog("a", M, thp=True), ["transparent huge pages"]),
        (Hog("a", M, rate=16 * M), ["filled at 16M/s"]),
        (Hog("a", M, working_set=4096), ["4K touched again and again"]),
        (Hog("a", M, may_fail=True), ["it may fail"]),
    ],
)
def test_hogs(hog, said):
    text = "\n".join(lines([hog]))
    assert text.startswith("hog     a: 1M ")
    for each in said:
        assert each in text


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step(Call("/t", via="limit")), ["write /t/memory.max = its usage less a little"]),
        (Step(Call("/t", via="limit", amount=8 * M)), ["its usage less 8M"]),
        (Step(Call(None, via="sysrq")), ["write /proc/sysrq-trigger = f"]),
        (Step(Call("/t", via="reclaim", amount=M)), ["/t/memory.reclaim = 1M, else bpf_out_of_m"]),
        (Step(Call("/t", via="kill"), repeat=2), ["write /t/cgroup.kill = 1, 2 times"]),
        (Step(Call("/t"), callers=4), ["by 4 callers at once"]),
        (Step(Call("/t"), delay=0.1), ["100 ms after the step before"]),
        (Step(Call("/t"), until="freed"), ["then wait for its memory only"]),
        (Step(Call("/t"), until="returned"), ["then continue at once"]),
        (Step(Call("/t"), recheck=Recheck(M)), ["tried every 1.00 ms while it uses more than 1M"]),
        (
            Step(Call("/t"), expect=CallExpect(("1", "EBUSY"), ("killed",), ())),
            ["expect to return 1 or EBUSY", "expect verdict killed", "expect to kill no task"],
        ),
        (Step(Call("/t"), expect=CallExpect(victims=("a", "b"))), ["expect to kill a, b"]),
    ],
)
def test_steps(step, said):
    text = "\n".join(lines(steps=[step]))
    assert text.startswith("call    ")
    for each in said:
        assert each in text


def test_expectations():
    expect = Expect(
        verdicts=("killed", "busy"),
        victims=("a",),
        survivors=("b", "c"),
        collateral=2,
        kills=Range(1, 2),
        returns={"1": Range(1, 1), "EBUSY": Range(0, 3)},
        events={
            ("/t", EVENTS): {"oom_kill": Range(2, None)},
            ("/t/web", EVENTS): {"max": Range(1, 1)},
            ("/t/web", EVENTS_LOCAL): {"oom": Range(0, 1), "low": Range(0, 0)},
        },
        latency={"exited": 2.0},
    )
    assert lines(expect=expect) == [
        "expect  verdict killed or busy",
        "expect  a, at most 2 others to die",
        "expect  b, c to live",
        "expect  1 to 2 to die",
        "expect  1 to be returned 1 time",
        "expect  EBUSY to be returned 0 to 3 times",
        "expect  oom_kill to rise by at least 2",
        "expect  max of /t/web to rise by 1",
        "expect  local oom of /t/web to rise by 0 to 1",
        "expect  local low of /t/web to rise by 0",
        "expect  exited within 2.00 s of the call",
    ]
    assert lines(expect=Expect(victims=())) == ["expect  no task to die"]


def test_long_lists_are_wrapped():
    expect = Expect(survivors=tuple(f"hog-{number}" for number in range(40)))
    wrapped = lines(expect=expect)
    assert all(len(line) <= 80 for line in wrapped)
    assert all(line.startswith(" " * 8) for line in wrapped[1:])
