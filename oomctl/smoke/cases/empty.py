"""Targets without a task that may be killed: the result is 0, and the kernel log says why."""

from collections.abc import Iterator

from oomctl.oom.outcome import Check
from oomctl.oom.plan import Step
from oomctl.smoke.cases.common import case, equal, spec_of
from oomctl.smoke.runner import CaseRun
from oomctl.smoke.spec import call, spec

_MESSAGE = "Out of memory and no killable processes..."


def _logged(case_run: CaseRun) -> Iterator[Check]:
    logged = [sum(r.text == _MESSAGE for r in report.log) for report in case_run.calls]
    yield equal(f"records {_MESSAGE!r} in the kernel log, by call", [1] * len(logged), logged)


_CASES = (
    ("no-task", "a cgroup without tasks: 0", spec(returns="0")),
    (
        "no-task-below",
        "a cgroup with children, none of which has tasks: 0",
        spec(returns="0", cgroups=("a", "a/b", "c")),
    ),
    (
        "without-waiting",
        "a cgroup without tasks, called without WAIT_ON_OOM_LOCK: 0",
        spec(returns="0", calls=(call(flags=0),)),
    ),
    (
        "only-minus-1000",
        "two tasks, both at oom_score_adj -1000: 0",
        spec_of("a 2M adj -1000, b 4M adj -1000", returns="0"),
    ),
    (
        "only-minus-1000-in-a-group",
        "a task at -1000 in a cgroup with memory.oom.group: 0",
        spec_of("a 2M adj -1000", returns="0", files={".": {"memory.oom.group": "1"}}),
    ),
    (
        "task-beside",
        "a task in a cgroup beside the target is not a candidate: 0",
        spec_of("beside 4M", returns="0", cgroups=("target",), calls=(call("target"),)),
    ),
    (
        "twice",
        "a second call on a cgroup without tasks: 0 again, logged again",
        spec(returns="0", calls=(Step(call(), repeat=2),)),
    ),
)

CASES = tuple(case(f"empty.{name}", about, spec, checks=_logged) for name, about, spec in _CASES)
