"""The whole system: NULL instead of a memcg. The bait is at +1000, so that only it is chosen."""

from collections.abc import Iterator
from dataclasses import replace

from oomctl.oom.enums import Constraint
from oomctl.oom.klog import KernelLog
from oomctl.oom.outcome import Check
from oomctl.oom.plan import Step
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import Checks, case, equal, refused, verdicts
from oomctl.smoke.runner import CaseRun, CaseRunner
from oomctl.smoke.spec import TOP, CaseSpec, M, call, hog, spec

_BAIT = (hog("small", 4 * M, 1000), hog("large", 12 * M, 1000))


def _null(order: int = 0, flags: int = 0) -> Step:
    return Step(call(None, order, flags))


_LARGE_DIES = spec(*_BAIT, dies=("large",), calls=(_null(),))


def _case(
    name: str, about: str, spec: CaseSpec, *needs: facts.Need, checks: Checks | None = None
) -> Case:
    return case(f"system.{name}", about, spec, facts.no_system_panic, *needs, checks=checks)


def _memcg(case_run: CaseRun) -> Iterator[Check]:
    yield equal("memcg (0 is NULL)", [0], [passage.memcg_id for passage in case_run.passages_of(0)])


def _logged(case_run: CaseRun) -> Iterator[Check]:
    kills = KernelLog(case_run.only_call.log).kills
    killed = [kill.comm for kill in kills if kill.constraint != Constraint.MEMCG]
    name = "the kernel log has the kill of large, without a memcg"
    yield Check(name, "large" in killed, f"{killed}")


def _allocating(name: str, about: str, spec: CaseSpec, checks: Checks) -> Case:
    def run(runner: CaseRunner) -> Iterator[Check]:
        with runner.sysctl("vm.oom_kill_allocating_task", 1):
            case_run = runner.execute(spec)
        yield from case_run.outcome.checks
        yield from checks(case_run)

    return Case(f"system.{name}", about, run, (facts.no_system_panic,))


def _caller_killed(case_run: CaseRun) -> Iterator[Check]:
    report = case_run.only_call
    killed = [kill.pid for kill in KernelLog(report.log).kills if kill.allocating]
    name = "the kernel log has the kill of the caller, for oom_kill_allocating_task"
    yield from verdicts("caller-killed")(case_run)
    yield Check(name, report.result.caller in killed, f"{killed}")


CASES = (
    _case(
        "largest", "the largest task of the machine dies (none would with gfp_mask 0)", _LARGE_DIES
    ),
    _case(
        "null-as-given", "the OOM killer is given no memcg", _LARGE_DIES, facts.gate, checks=_memcg
    ),
    _case(
        "with-waiting",
        "the largest task dies with WAIT_ON_OOM_LOCK as well",
        spec(*_BAIT, dies=("large",), calls=(_null(flags=1),)),
    ),
    _case(
        "adj-counts",
        "a task at oom_score_adj 1000 dies before a larger one at 0",
        spec(hog("small", 4 * M, 1000), hog("large", 48 * M), dies=("small",), calls=(_null(),)),
    ),
    _case(
        "limits-do-not-count",
        "a limit on a task's cgroup does not spare the task",
        spec(*_BAIT, dies=("large",), files={TOP: {"memory.max": "64M"}}, calls=(_null(),)),
    ),
    _case(
        "log",
        "the kernel log says `Out of memory`, not `Memory cgroup out of memory`",
        _LARGE_DIES,
        checks=_logged,
    ),
    _case(
        "group",
        "memory.oom.group counts up to the root",
        spec(
            *_BAIT,
            dies=("small", "large"),
            files={TOP: {"memory.oom.group": "1"}},
            group_kills=1,
            calls=(_null(),),
        ),
    ),
    _case(
        "wrong-order",
        "an invalid order is -EINVAL, and no task of the machine dies",
        spec(*_BAIT, returns="EINVAL", calls=(_null(order=-1),)),
        checks=refused,
    ),
    _case(
        "wrong-flag",
        "an invalid flag is -EINVAL, and no task of the machine dies",
        spec(*_BAIT, returns="EINVAL", calls=(_null(flags=2),)),
        checks=refused,
    ),
    _allocating(
        "allocating-task-kills-the-caller",
        "with vm.oom_kill_allocating_task the caller dies, not the largest task",
        spec(*_BAIT, calls=(replace(_null(), caller_adj=0),)).losing_the_caller(),
        _caller_killed,
    ),
    _allocating(
        "allocating-task-spares-minus-1000",
        "with vm.oom_kill_allocating_task a caller at -1000 lives, and the largest task dies",
        spec(*_BAIT, dies=("large",), calls=(replace(_null(), caller_adj=-1000),)),
        verdicts("killed"),
    ),
    _allocating(
        "allocating-task-is-ignored-on-a-memcg",
        "with vm.oom_kill_allocating_task a call on a memcg kills the largest task in that",
        spec(*_BAIT, dies=("large",), calls=(Step(call(), caller_adj=0),)),
        verdicts("killed"),
    ),
)
