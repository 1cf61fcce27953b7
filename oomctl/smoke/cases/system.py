"""The whole system: NULL instead of a memcg. The bait has +1000, so that nobody else is chosen."""

from collections.abc import Iterator
from dataclasses import replace

from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import Step
from oomctl.smoke import facts
from oomctl.smoke.cases.common import (
    Also,
    Case,
    CaseRun,
    CaseRunner,
    CaseSpec,
    Check,
    M,
    call,
    case,
    equal,
    hog,
    refused,
    spec,
)
from oomctl.smoke.spec import TOP

_BAIT = (hog("small", 4 * M, 1000), hog("large", 12 * M, 1000))
_ALLOCATING = "vm.oom_kill_allocating_task"


def _everything(name: str, about: str, drawn: CaseSpec, *, also: Also | None = None) -> Case:
    return case(name, about, drawn, facts.no_panic_at_all, also=also)


def _null(order: int = 0, flags: int = 0) -> Step:
    return Step(call(None, order, flags))


def _control(case_run: CaseRun) -> Iterator[Check]:
    yield equal("memcg given", [None], [passage.memcg_id for passage in case_run.passages_of(0)])


def _logged(case_run: CaseRun) -> Iterator[Check]:
    (declared,) = case_run.outcome.calls
    killed = [kill.comm for kill in KernelLog(declared.log).kills if kill.constraint != "memcg"]
    yield Check("the kernel log has large killed, for no memcg", "large" in killed, f"{killed}")


def _allocating(name: str, about: str, drawn: CaseSpec, also: Also) -> Case:
    def run(runner: CaseRunner) -> Iterator[Check]:
        with runner.sysctl(_ALLOCATING, 1):
            case_run = runner.try_out(drawn)
        yield from case_run.outcome.checks
        yield from also(case_run)

    return Case(name, about, run, (facts.no_panic_at_all,))


def _caller_killed(case_run: CaseRun) -> Iterator[Check]:
    (declared,) = case_run.outcome.calls
    killed = [kill.pid for kill in KernelLog(declared.log).kills if kill.allocating]
    name = "the kernel log has the caller killed, for oom_kill_allocating_task"
    yield equal("verdict", "caller-killed", declared.verdict.name)
    yield Check(name, declared.result.caller in killed, f"{killed}")


CASES = (
    _everything(
        "system.largest",
        "the largest of the machine dies (with gfp_mask 0 nobody would)",
        spec(*_BAIT, dies=("large",), calls=(_null(),)),
    ),
    case(
        "system.null-as-given",
        "the OOM killer is given no memcg",
        spec(*_BAIT, dies=("large",), calls=(_null(),)),
        facts.no_panic_at_all,
        facts.gate,
        also=_control,
    ),
    _everything(
        "system.with-waiting",
        "also with WAIT_ON_OOM_LOCK",
        spec(*_BAIT, dies=("large",), calls=(_null(flags=1),)),
    ),
    _everything(
        "system.adj-counts",
        "+1000 outranks a larger task without it",
        spec(hog("small", 4 * M, 1000), hog("large", 48 * M), dies=("small",), calls=(_null(),)),
    ),
    _everything(
        "system.limits-do-not-count",
        "nor is a task spared because its cgroup has a limit",
        spec(*_BAIT, dies=("large",), files={TOP: {"memory.max": "64M"}}, calls=(_null(),)),
    ),
    _everything(
        "system.log",
        "the kernel log says `Out of memory`, not `Memory cgroup out of memory`",
        spec(*_BAIT, dies=("large",), calls=(_null(),)),
        also=_logged,
    ),
    _everything(
        "system.group",
        "memory.oom.group counts up to the root",
        spec(
            *_BAIT,
            dies=("small", "large"),
            files={TOP: {"memory.oom.group": "1"}},
            group_kills=1,
            calls=(_null(),),
        ),
    ),
    _everything(
        "system.wrong-order",
        "-EINVAL, and nobody of the machine dies",
        spec(*_BAIT, returns="EINVAL", calls=(_null(order=-1),)),
        also=refused,
    ),
    _everything(
        "system.wrong-flag",
        "-EINVAL, and nobody of the machine dies",
        spec(*_BAIT, returns="EINVAL", calls=(_null(flags=2),)),
        also=refused,
    ),
    _allocating(
        "system.allocating-task-kills-the-caller",
        "vm.oom_kill_allocating_task: the caller dies, whoever is larger",
        spec(*_BAIT, calls=(replace(_null(), caller_adj=0),)).losing_the_caller(),
        _caller_killed,
    ),
    _allocating(
        "system.allocating-task-spares-minus-1000",
        "but not one at -1000: the largest dies",
        spec(*_BAIT, dies=("large",), calls=(replace(_null(), caller_adj=-1000),)),
        lambda case_run: [equal("verdict", "killed", case_run.outcome.calls[0].verdict.name)],
    ),
    _allocating(
        "system.allocating-task-is-for-the-whole-system",
        "nor one that declares on a memcg: the largest of that dies",
        spec(*_BAIT, dies=("large",), calls=(Step(call(), caller_adj=0),)),
        lambda case_run: [equal("verdict", "killed", case_run.outcome.calls[0].verdict.name)],
    ),
)
