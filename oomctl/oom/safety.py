"""Checks before a call: it must not panic the machine or kill oomctl. Pure."""

from collections.abc import Collection, Iterable, Mapping
from itertools import chain

from oomctl.errors import UnsupportedError, UsageError
from oomctl.oom.paths import is_within
from oomctl.oom.plan import Call, Sysctl
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import OOM_SCORE_ADJ_MIN, ProtectedTask
from oomctl.text import printable


def check_sysctls(
    call: Call,
    sysctls: Mapping[str, int | None],
    own_adj: int,
    settings: Collection[Sysctl] = (),
) -> None:
    """Raise UnsupportedError if the kernel would panic or kill its caller.

    `own_adj` is oomctl's oom_score_adj. `settings` are those of the scenario, which replace
    the machine's: UsageError if one of them is the cause. Kernel: mm/oom_kill.c,
    check_panic_on_oom() and out_of_memory(); panic_on_oom 1 spares a memcg OOM, 2 does not, and
    sysrq's is never asked.
    """
    if call.via in ("sysrq", "kill"):
        return
    own = {each.name: _number(each.value) for each in settings}
    of = {**sysctls, **own}
    panic = of.get("vm.panic_on_oom") or 0
    if panic == 2 or (panic and call.target is None):
        why = f"vm.panic_on_oom is {panic}: this declaration would panic the machine"
        if "vm.panic_on_oom" in own:
            raise _of_the_file("vm.panic_on_oom", why)
        raise UnsupportedError(
            why, "run `sysctl vm.panic_on_oom=0` first if that is not what you want"
        )
    allocating = of.get("vm.oom_kill_allocating_task")
    if call.target is None and allocating and own_adj != OOM_SCORE_ADJ_MIN:
        why = "vm.oom_kill_allocating_task is set and oomctl cannot protect itself: it would die"
        if "vm.oom_kill_allocating_task" in own:
            raise _of_the_file("vm.oom_kill_allocating_task", why)
        raise UnsupportedError(
            why, "run `sysctl vm.oom_kill_allocating_task=0`, or give oomctl CAP_SYS_RESOURCE"
        )


def _of_the_file(name: str, why: str) -> UsageError:
    """Return the error of a sysctl that the scenario sets, whatever the machine has."""
    return UsageError(why, f"write {name} = 0 in [sysctl], or take it out")


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def check_targets(targets: Iterable[str], protected: Iterable[ProtectedTask]) -> None:
    """Raise UsageError if a target, the path of a cgroup, holds a protected task."""
    for target in targets:
        for one in protected:
            if is_within(one.cgroup, target):
                raise UsageError(
                    f"{one.label} runs in {printable(one.cgroup)}, so the call could kill it",
                    "start it from another cgroup",
                )


def check_candidates(
    call: Call, callers: int, candidates: Candidates, protected: Iterable[ProtectedTask]
) -> None:
    """Raise UnsupportedError if a call could kill a protected task, or panic.

    On a cgroup, no protected task may be a candidate. System-wide, every task is a candidate; no
    protected task may be among the first `callers` predicted victims.
    """
    target = call.target
    reached = (
        _within_reach(candidates, callers) if target is None else {t.pid for t in candidates.tasks}
    )
    for one in protected:
        if one.pid in reached and target is None:
            raise UnsupportedError(
                f"the kernel could pick {one.label}",
                "make something else larger (--hog big=SIZE), or run it from a service of its own",
            )
        if one.pid in reached:
            raise UnsupportedError(
                f"{one.label} is in {printable(str(target))}: the declaration could kill it",
                "move it elsewhere",
            )


def _within_reach(candidates: Candidates, callers: int) -> set[int]:
    """Return the PIDs that system-wide calls may kill; UnsupportedError if there are none."""
    reached: set[int] = set()
    gone: set[int] = set()
    for _ in range(callers):
        prediction = candidates.predict(gone)
        if not prediction.victims:
            break
        reached |= {*prediction.victims, *chain(*prediction.instead)}
        gone.update(prediction.victims)
    if not gone:
        raise UnsupportedError(
            "no task on this machine may be killed: the kernel would panic",
            "start a killable task first, such as hogs (--hogs)",
        )
    return reached
