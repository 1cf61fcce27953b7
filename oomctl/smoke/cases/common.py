"""What cases of every group are put together from."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from oomctl.hog.hogset import RunningHog
from oomctl.oom.check import Check
from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import INT32_MAX, INT32_MIN, UINT64_MAX
from oomctl.smoke.case import Case
from oomctl.smoke.facts import Need
from oomctl.smoke.runner import CaseRun, CaseRunner, Opens
from oomctl.smoke.spec import CaseSpec, K, M, call, hog, spec

__all__ = [
    "INT32_MAX",
    "INT32_MIN",
    "PAIR",
    "UINT64_MAX",
    "Also",
    "Case",
    "CaseRun",
    "CaseRunner",
    "CaseSpec",
    "Check",
    "K",
    "M",
    "call",
    "case",
    "equal",
    "hog",
    "refused",
    "spec",
]

_ATTEMPTS = 3

Also = Callable[[CaseRun], Iterable[Check]]

PAIR = (hog("small", 2 * M), hog("large", 6 * M))
"""Two hogs so far apart that no counter that is kept per CPU can turn the choice."""


def case(
    name: str,
    about: str,
    spec: CaseSpec,
    *needs: Need,
    also: Also | None = None,
    ready: Callable[[CaseRunner, Sequence[RunningHog]], object] | None = None,
    lock: Opens | None = None,
    made: Callable[[CaseRun], bool] = bool,
) -> Case:
    """Return the case that runs a spec and checks its expectations, and what `also` checks.

    Where it depends on something that lasts only for a while, `made` tells whether that lasted
    until the calls had come back; on a machine too busy for that it is tried again.
    """

    def run(runner: CaseRunner) -> Iterator[Check]:
        for _attempt in range(_ATTEMPTS):
            came = runner.try_out(
                spec, (lambda running_hogs: ready(runner, running_hogs)) if ready else len, lock
            )
            if made(came):
                break
        yield from came.outcome.checks
        if also:
            yield from also(came)

    return Case(name, about, run, needs)


def equal(name: str, wanted: object, found: object) -> Check:
    """Return the check that something is just so."""
    return Check(f"{name}: {wanted}", wanted == found, f"it was {found}")


def refused(case_run: CaseRun) -> Iterator[Check]:
    """Check that the calls did not get as far as the OOM killer."""
    for number, declared in enumerate(case_run.outcome.calls):
        entered = len(case_run.passages_of(number))
        yield equal("runs of the caller through out_of_memory()", 0, entered)
        yield equal("kills in the kernel log", 0, len(KernelLog(declared.log).kills))
