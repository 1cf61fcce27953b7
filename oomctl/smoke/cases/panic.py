"""What should panic the kernel, and what should not: each in a virtual machine of its own.

`oomctl lab smoke` boots one for each case, and reads from its console whether it panicked.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.outcome import Check
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.cases.common import LARGE_DIES, equal
from oomctl.smoke.runner import CaseRunner
from oomctl.smoke.spec import spec

_NEEDS = (facts.disposable,)
_ENABLED = "Out of memory: system-wide panic_on_oom is enabled"
_COMPULSORY = "Out of memory: compulsory panic_on_oom is enabled"


def _no_panic(runner: CaseRunner, cgroup_id: int | None) -> Check:
    """Declare, and fail if the kernel lives."""
    stage, ret = runner.call(cgroup_id)
    return Check("the kernel panics", False, f"it did not: {stage.name}, returned {ret}")


def _with(panic_on_oom: int, on_a_memcg: bool) -> Callable[[CaseRunner], Iterator[Check]]:
    def run(runner: CaseRunner) -> Iterator[Check]:
        with runner.tree(spec()) as top, runner.sysctl("vm.panic_on_oom", panic_on_oom):
            check = _no_panic(runner, top.id if on_a_memcg else None)
        yield check

    return run


def _memcg_with_1(runner: CaseRunner) -> Iterator[Check]:
    with runner.sysctl("vm.panic_on_oom", 1):
        yield from runner.execute(LARGE_DIES).outcome.checks


def _refused(runner: CaseRunner) -> Iterator[Check]:
    with runner.sysctl("vm.panic_on_oom", 2):
        _stage, ret = runner.call(None, order=-1)
    yield equal("result", -22, ret)


def _no_killable_task(runner: CaseRunner) -> Iterator[Check]:
    """Put every task at -1000; the OOM killer never takes kernel threads."""
    for path in Path("/proc").glob("[0-9]*/oom_score_adj"):
        with contextlib.suppress(KernelFileError):
            kernelfile.write(path, -1000)
    yield _no_panic(runner, None)


CASES = (
    Case(
        "panic.system-with-1",
        "a system-wide call panics with vm.panic_on_oom=1",
        _with(1, on_a_memcg=False),
        _NEEDS,
        _ENABLED,
    ),
    Case(
        "panic.memcg-with-2",
        "a call on a memcg panics with vm.panic_on_oom=2",
        _with(2, on_a_memcg=True),
        _NEEDS,
        _COMPULSORY,
    ),
    Case(
        "panic.system-with-2",
        "a system-wide call panics with vm.panic_on_oom=2",
        _with(2, on_a_memcg=False),
        _NEEDS,
        _COMPULSORY,
    ),
    Case(
        "panic.no-killable-task",
        "a system-wide call without a killable task panics",
        _no_killable_task,
        _NEEDS,
        "System is deadlocked on memory",
    ),
    Case(
        "panic.memcg-with-1-does-not-panic",
        "a call on a memcg kills and does not panic with vm.panic_on_oom=1",
        _memcg_with_1,
        _NEEDS,
    ),
    Case(
        "panic.refused-call-does-not-panic",
        "a call that is refused does not panic with vm.panic_on_oom=2",
        _refused,
        _NEEDS,
    ),
)
