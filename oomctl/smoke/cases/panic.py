"""What should take the machine down, and what should not: in a virtual machine of its own each.

`oomctl lab smoke` boots one, and reads from its console whether it went down as it should have.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError
from oomctl.smoke import facts
from oomctl.smoke.cases.common import PAIR, Case, CaseRunner, Check, equal, spec

_NEEDS = (facts.disposable,)


def _with(panic_on_oom: int, on_a_memcg: bool) -> Callable[[CaseRunner], Iterator[Check]]:
    def run(runner: CaseRunner) -> Iterator[Check]:
        with runner.tree(spec()) as top, runner.sysctl("vm.panic_on_oom", panic_on_oom):
            stage, ret = runner.ask(top.id if on_a_memcg else None)
        yield Check("the kernel panics", False, f"it did not: {stage.name}, returned {ret}")

    return run


def _spared(runner: CaseRunner) -> Iterator[Check]:
    with runner.sysctl("vm.panic_on_oom", 1):
        yield from runner.try_out(spec(*PAIR, dies=("large",))).outcome.checks


def _refused(runner: CaseRunner) -> Iterator[Check]:
    with runner.sysctl("vm.panic_on_oom", 2):
        _stage, ret = runner.ask(None, order=-1)
    yield equal("returned", -22, ret)


def _deadlocked(runner: CaseRunner) -> Iterator[Check]:
    """Let no task be killable; of kernel threads the OOM killer knows by itself."""
    for path in Path("/proc").glob("[0-9]*/oom_score_adj"):
        with contextlib.suppress(KernelFileError):
            kernelfile.write(path, -1000)
    stage, ret = runner.ask(None)
    yield Check("the kernel panics", False, f"it did not: {stage.name}, returned {ret}")


CASES = (
    Case(
        "panic.whole-with-1",
        "vm.panic_on_oom=1: an OOM of the whole system panics",
        _with(1, on_a_memcg=False),
        _NEEDS,
        "Out of memory: system-wide panic_on_oom is enabled",
    ),
    Case(
        "panic.memcg-with-2",
        "vm.panic_on_oom=2: so does one on a memcg",
        _with(2, on_a_memcg=True),
        _NEEDS,
        "Out of memory: compulsory panic_on_oom is enabled",
    ),
    Case(
        "panic.whole-with-2",
        "and one of the whole system",
        _with(2, on_a_memcg=False),
        _NEEDS,
        "Out of memory: compulsory panic_on_oom is enabled",
    ),
    Case(
        "panic.nobody-killable",
        "an OOM of the whole system without a killable task panics",
        _deadlocked,
        _NEEDS,
        "System is deadlocked on memory",
    ),
    Case(
        "panic.memcg-with-1-is-spared",
        "vm.panic_on_oom=1: one on a memcg kills and does not panic",
        _spared,
        _NEEDS,
    ),
    Case(
        "panic.refused-with-2-is-spared",
        "nor does a call that is refused",
        _refused,
        _NEEDS,
    ),
)
