import pytest

from oomctl.errors import UnsupportedError
from oomctl.interlock import check_ranking, check_sysctls
from oomctl.plan import Call
from oomctl.task import Task

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


def test_a_kernel_that_lacks_the_sysctls_refuses_nothing():
    check_sysctls(SYSTEM, {}, 0)


def test_a_machine_without_a_killable_task_would_panic():
    with pytest.raises(UnsupportedError, match="no task on this machine may be killed"):
        check_ranking([], {7})


def test_oomctl_and_what_it_runs_in_must_not_be_first():
    mine, other = (Task(pid, f"t{pid}", "/", 0, 0, 0, 0, 0.0) for pid in (7, 8))
    check_ranking([(2, other), (1, mine)], {7})
    with pytest.raises(UnsupportedError, match=r"t7 \(pid 7\)"):
        check_ranking([(2, mine), (1, other)], {7})
