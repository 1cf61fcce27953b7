"""Where the kfunc is called: in task work and on PSI, as the series' own test does."""

from dataclasses import replace

from oomctl.bpf.declare import TASK_WORK
from oomctl.oom.enums import Context, Via
from oomctl.oom.plan import Call, Hog, Range, Step
from oomctl.smoke import facts
from oomctl.smoke.cases.common import PAIR, case, refused
from oomctl.smoke.spec import TOP, CaseSpec, M, call, hog, spec

_NEED = facts.function(TASK_WORK)
_LATER = replace(call(), context=Context.TASK_WORK)
_STALL = 0.001
"""Seconds, so little that any machine stalls as long while it swaps all the time."""


def _stalled(wanted: Call) -> CaseSpec:
    """Return the experiment that a task which does not fit below its limit dies of a stall."""
    thrashing = Hog("thrashing", 24 * M, working_set=24 * M)
    files = {TOP: {"memory.max": str(12 * M), "memory.swap.max": "max"}}
    on_psi = replace(wanted, via=Via.PSI, stall=_STALL)
    made = spec(thrashing, dies=("thrashing",), calls=(on_psi,), files=files)
    return made.rising(max=Range(0, None))


CASES = (
    case(
        "context.task-work",
        "a call in task work kills the largest task",
        spec(*PAIR, dies=("large",), calls=(_LATER,)),
        _NEED,
    ),
    case(
        "context.task-work-invalid-order",
        "a call in task work with an invalid order is -EINVAL",
        spec(*PAIR, returns="EINVAL", calls=(replace(_LATER, order=-1),)),
        _NEED,
        checks=refused,
    ),
    case(
        "context.task-work-caller-inside",
        "a caller inside the target, with the highest score, dies of its own call in task work",
        spec(
            hog("beside", 2 * M),
            calls=(Step(_LATER, caller_adj=1000, caller_cgroup="caller"),),
        )
        .counting(oom_kill=1)
        .losing_the_caller(),
        _NEED,
    ),
    case(
        "context.stall",
        "a call on a stall in memory.pressure kills the task that stalls",
        _stalled(call()),
        facts.swap,
    ),
    case(
        "context.stall-task-work",
        "a call in task work on a stall, as the series' own test makes it, kills the task",
        _stalled(_LATER),
        _NEED,
        facts.swap,
    ),
)
