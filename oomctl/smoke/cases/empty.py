"""Targets without a task that may be killed: 0, and the kernel log says why."""

from collections.abc import Iterator

from oomctl.oom.plan import Step
from oomctl.smoke.cases.common import (
    Case,
    CaseRun,
    CaseSpec,
    Check,
    M,
    call,
    case,
    equal,
    hog,
    spec,
)

_SAID = "Out of memory and no killable processes..."


def _nobody(name: str, about: str, drawn: CaseSpec) -> Case:
    return case(name, about, drawn, also=_says_so)


def _says_so(case_run: CaseRun) -> Iterator[Check]:
    said = [sum(r.text == _SAID for r in one.log) for one in case_run.outcome.calls]
    yield equal(f"times that the kernel log says {_SAID!r}", [1] * len(said), said)


CASES = (
    _nobody("empty.no-task", "a cgroup without tasks", spec(returns="0")),
    _nobody(
        "empty.no-task-below",
        "a tree without tasks",
        spec(returns="0", cgroups=("a", "a/b", "c")),
    ),
    _nobody(
        "empty.without-waiting",
        "also without WAIT_ON_OOM_LOCK",
        spec(returns="0", calls=(call(flags=0),)),
    ),
    _nobody(
        "empty.only-minus-1000",
        "two tasks, both at -1000",
        spec(hog("a", 2 * M, -1000), hog("b", 4 * M, -1000), returns="0"),
    ),
    _nobody(
        "empty.only-minus-1000-in-a-group",
        "memory.oom.group does not change that",
        spec(hog("a", 2 * M, -1000), returns="0", files={".": {"memory.oom.group": "1"}}),
    ),
    _nobody(
        "empty.task-beside",
        "a task beside the target is none of it",
        spec(hog("beside", 4 * M), returns="0", cgroups=("target",), calls=(call("target"),)),
    ),
    _nobody(
        "empty.twice",
        "the second call says the same",
        spec(returns="0", calls=(Step(call(), repeat=2),)),
    ),
)
