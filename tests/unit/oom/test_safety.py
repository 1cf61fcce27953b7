import pytest

from oomctl.errors import UnsupportedError, UsageError
from oomctl.oom.plan import Call, Sysctl
from oomctl.oom.prediction import Candidates
from oomctl.oom.safety import check_candidates, check_sysctls, check_targets
from oomctl.oom.task import ProtectedTask, Task

MEMCG, SYSTEM = Call("/t", 0, 0), Call(None, 0, 0)


def sysctls(panic=0, allocating=0):
    return {"vm.panic_on_oom": panic, "vm.oom_kill_allocating_task": allocating}


@pytest.mark.parametrize(
    ("call", "panic", "refused"),
    [
        (MEMCG, 0, False),
        (MEMCG, 1, False),  # spares a memcg
        (MEMCG, 2, True),
        (SYSTEM, 0, False),
        (SYSTEM, 1, True),
        (SYSTEM, 2, True),
        (SYSTEM, None, False),
    ],
)
def test_a_declaration_that_would_panic_is_refused(call, panic, refused):
    if refused:
        with pytest.raises(UnsupportedError, match=f"vm.panic_on_oom is {panic}.*sysctl"):
            check_sysctls(call, sysctls(panic), -1000)
    else:
        check_sysctls(call, sysctls(panic), -1000)


@pytest.mark.parametrize(
    ("call", "allocating", "own_adj", "refused"),
    [
        (SYSTEM, 1, 0, True),
        (SYSTEM, 1, -999, True),
        (SYSTEM, 1, -1000, False),
        (SYSTEM, 0, 0, False),
        (SYSTEM, None, 0, False),
        (MEMCG, 1, 0, False),  # only a system-wide OOM looks at it
    ],
)
def test_a_declaration_that_would_kill_its_caller_is_refused(call, allocating, own_adj, refused):
    if refused:
        with pytest.raises(UnsupportedError, match="oom_kill_allocating_task"):
            check_sysctls(call, sysctls(allocating=allocating), own_adj)
    else:
        check_sysctls(call, sysctls(allocating=allocating), own_adj)


@pytest.mark.parametrize("value", ["2", "0x2"])
def test_a_sysctl_of_the_scenario_is_named_as_that(value):
    settings = [Sysctl("vm.panic_on_oom", value)]
    with pytest.raises(UsageError) as caught:
        check_sysctls(MEMCG, sysctls(0), -1000, settings)
    assert str(caught.value) == (
        "vm.panic_on_oom is 2: this declaration would panic the machine; write vm.panic_on_oom = 0 "
        "in [sysctl], or take it out"
    )
    settings = [Sysctl("vm.oom_kill_allocating_task", "1")]
    with pytest.raises(UsageError, match=r"; write vm.oom_kill_allocating_task = 0 in \[sysctl\]"):
        check_sysctls(SYSTEM, sysctls(), 0, settings)


def test_a_sysctl_of_the_scenario_stands_in_the_place_of_the_machines():
    settings = [Sysctl("vm.panic_on_oom", "0"), Sysctl("vm.oom_kill_allocating_task", "0")]
    check_sysctls(SYSTEM, sysctls(2, 1), 0, settings)
    with pytest.raises(UnsupportedError, match=r"run `sysctl vm\.panic_on_oom=0`"):
        check_sysctls(MEMCG, sysctls(2), 0, settings[1:])


def test_a_kernel_that_lacks_the_sysctls_refuses_nothing():
    check_sysctls(SYSTEM, {}, 0)


def task(pid, size=1, **more):
    fields = {"cgroup": "/", "oom_score_adj": 0, "rss": size << 20, "swap": 0, "pgtables": 0}
    return Task(pid, f"t{pid}", **(fields | more), started=0.0)


SHELL = ProtectedTask(7, "bash (pid 7, which oomctl runs in)", "/user/session")


def candidates(*tasks, groups=()):
    return Candidates(tasks, 1 << 20, 4096, frozenset(groups))


@pytest.mark.parametrize("target", ["/user/session", "/user", "/"])
def test_a_target_that_holds_the_family_is_refused(target):
    with pytest.raises(UsageError, match=r"bash \(pid 7.*\) runs in /user/session"):
        check_targets(["/elsewhere", target], [SHELL])


def test_a_target_beside_or_below_the_family_is_not():
    check_targets(["/user/session/below", "/user/sess", "/other"], [SHELL])


def test_a_protected_task_moved_into_a_target_is_refused():
    check_candidates(MEMCG, 1, candidates(task(8)), [SHELL])
    with pytest.raises(UnsupportedError, match=r"bash .* is in /t: the declaration could kill it"):
        # though it would not be chosen: cgroup.kill and memory.oom.group take it too
        check_candidates(MEMCG, 1, candidates(task(8, 9), task(7, 1)), [SHELL])


def test_a_machine_without_a_killable_task_would_panic():
    with pytest.raises(UnsupportedError, match="no task on this machine may be killed"):
        check_candidates(SYSTEM, 1, candidates(task(8, oom_score_adj=-1000)), [SHELL])
    check_candidates(MEMCG, 1, candidates(), [SHELL])


@pytest.mark.parametrize(
    ("callers", "tasks", "groups", "refused"),
    [
        (1, [task(8, 2), task(7, 1)], (), False),
        (1, [task(8, 1), task(7, 2)], (), True),
        (1, [task(8, 2), task(7, 9, oom_score_adj=-1000)], (), False),
        (2, [task(8, 3), task(9, 2), task(7, 1)], (), False),
        (3, [task(8, 3), task(9, 2), task(7, 1)], (), True),
        (9, [task(8, 3)], (), False),
        # what the kernel counts per CPU may turn the choice
        (1, [task(8, 2), task(7, 1, slack=2 << 20)], (), True),
        # dies with another of its group
        (1, [task(8, 3, cgroup="/g/a"), task(7, 1, cgroup="/g")], ["/g"], True),
        (1, [task(8, 3, cgroup="/g/a"), task(7, 1, cgroup="/g")], ["/g/a"], False),
        # and might, if another is chosen instead
        (
            1,
            [task(8, 3), task(9, 3, cgroup="/g", slack=4096), task(7, 1, cgroup="/g")],
            ["/g"],
            True,
        ),
    ],
)
def test_no_protected_task_may_be_within_reach(callers, tasks, groups, refused):
    if refused:
        with pytest.raises(UnsupportedError, match=r"could pick bash \(pid 7.*--hog big=SIZE"):
            check_candidates(SYSTEM, callers, candidates(*tasks, groups=groups), [SHELL])
    else:
        check_candidates(SYSTEM, callers, candidates(*tasks, groups=groups), [SHELL])
