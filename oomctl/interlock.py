"""What must hold before OOM is declared; each refusal says why. Pure."""

from collections.abc import Mapping, Sequence, Set

from oomctl.errors import UnsupportedError
from oomctl.plan import Call
from oomctl.task import OOM_SCORE_ADJ_MIN, Task


def check_sysctls(call: Call, sysctls: Mapping[str, int | None], own_adj: int) -> None:
    """Raise UnsupportedError where the kernel would panic or kill its caller.

    `own_adj` is oomctl's oom_score_adj. Kernel: mm/oom_kill.c, check_panic_on_oom() and
    out_of_memory(); panic_on_oom 1 spares a memcg OOM, 2 does not, and sysrq's is never asked.
    """
    if call.via in ("sysrq", "kill"):
        return
    panic = sysctls.get("vm.panic_on_oom") or 0
    if panic == 2 or (panic and call.target is None):
        raise UnsupportedError(
            f"vm.panic_on_oom is {panic}: this declaration would panic the machine",
            "run `sysctl vm.panic_on_oom=0` first if that is not what you want",
        )
    allocating = sysctls.get("vm.oom_kill_allocating_task")
    if call.target is None and allocating and own_adj != OOM_SCORE_ADJ_MIN:
        raise UnsupportedError(
            "vm.oom_kill_allocating_task is set and oomctl cannot protect itself: it would die",
            "run `sysctl vm.oom_kill_allocating_task=0`, or give oomctl CAP_SYS_RESOURCE",
        )


def check_ranking(ranking: Sequence[tuple[int, Task]], own_family: Set[int]) -> None:
    """Raise UnsupportedError where a system-wide OOM would panic or end oomctl's own session.

    `ranking` has the task to be chosen first; `own_family` holds oomctl and its ancestors.
    """
    if not ranking:
        raise UnsupportedError(
            "no task on this machine may be killed: the kernel would panic",
            "start something killable first, such as hogs (--hogs)",
        )
    first = ranking[0][1]
    if first.pid in own_family:
        raise UnsupportedError(
            f"the kernel would pick {first.comm} (pid {first.pid}), which oomctl itself runs in",
            "make something else larger (--hog big=SIZE), or run it from a service of its own",
        )
