"""What cases of every group are built from."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from oomctl.hog.hogset import RunningHog
from oomctl.oom.klog import KernelLog
from oomctl.oom.outcome import Check
from oomctl.smoke.case import Case
from oomctl.smoke.facts import Need, Skipped
from oomctl.smoke.runner import CaseRun, CaseRunner, HoldUntil
from oomctl.smoke.spec import CaseSpec, M, hog, spec
from oomctl.units import parse_size

_ATTEMPTS = 3
_POLL_SECONDS = 0.002
_TOO_SLOW = (
    f"this machine is too slow or too busy: {_ATTEMPTS} times the state that is tested had ended "
    "before the calls had returned"
)

Checks = Callable[[CaseRun], Iterable[Check]]

PAIR = (hog("small", 2 * M), hog("large", 6 * M))
"""Two hogs that differ in size by more than the error of any per-CPU counter."""

LARGE_DIES = spec(*PAIR, dies=("large",))


def spec_of(text: str, **more: Any) -> CaseSpec:
    """Return spec() of anonymous hogs that are given as text: `large 6M adj -500 in a/b dies, ...`.

    Each has its name and size, and if needed an oom_score_adj, a cgroup, and `dies`.
    """
    hogs, dies = [], []
    for part in text.split(", "):
        name, size, *words = part.split()
        if words[-1:] == ["dies"]:
            dies.append(name)
        options = dict(zip(words[::2], words[1::2], strict=False))
        place = options.get("in", "")
        hogs.append(hog(name, parse_size(size), int(options.get("adj", 0)), place))
    return spec(*hogs, dies=dies, **more)


def case(
    name: str,
    about: str,
    spec: CaseSpec,
    *needs: Need,
    checks: Checks | None = None,
    prepare: Callable[[CaseRunner, Sequence[RunningHog]], object] | None = None,
    hold_lock_until: HoldUntil | None = None,
    in_time: Callable[[CaseRun], bool] = bool,
) -> Case:
    """Return the case that an experiment has the expected outcome, and that `checks` pass.

    If the experiment depends on a state that lasts only for a while, `in_time` tells whether it
    lasted until the calls had returned; if not, as on a busy machine, the experiment is repeated,
    and the case is skipped if it never did: that says nothing of the kernel.
    """

    def run(runner: CaseRunner) -> Iterator[Check]:
        for _attempt in range(_ATTEMPTS):
            case_run = runner.execute(
                spec, prepare and (lambda hogs: prepare(runner, hogs)), hold_lock_until
            )
            if in_time(case_run):
                break
        else:
            raise Skipped(_TOO_SLOW)
        yield from case_run.outcome.checks
        if checks:
            yield from checks(case_run)

    return Case(name, about, run, needs)


def equal(name: str, wanted: object, found: object) -> Check:
    """Return the check that a value is as wanted."""
    return Check(f"{name}: {wanted}", wanted == found, f"{found}")


def verdicts(*wanted: str) -> Checks:
    """Return the check of the calls' verdicts."""
    return lambda case_run: [
        equal("verdicts", ", ".join(wanted), ", ".join(one.verdict.name for one in case_run.calls))
    ]


def rises(counter: str, **wanted: int) -> Checks:
    """Return the checks by how much a counter rose in cgroups; `a__b` is the cgroup a/b."""

    def checks(case_run: CaseRun) -> Iterator[Check]:
        for name, rise in wanted.items():
            path = name.replace("__", "/")
            events = case_run.outcome.events.get(f"{case_run.outcome.top}/{path}", {})
            yield equal(f"{counter} of {path} rises by", rise, events.get(counter, 0))

    return checks


def refused(case_run: CaseRun) -> Iterator[Check]:
    """Check that the calls did not get as far as the OOM killer."""
    for number, report in enumerate(case_run.calls):
        entered = len(case_run.passages_of(number))
        yield equal("times that the caller entered out_of_memory()", 0, entered)
        yield equal("kills in the kernel log", 0, len(KernelLog(report.log).kills))


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for a condition; Skipped with the text `otherwise` if it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Skipped(otherwise)
        time.sleep(_POLL_SECONDS)
