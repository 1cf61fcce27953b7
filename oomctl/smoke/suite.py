"""The suite: all cases in their groups, the selection by patterns, and the run of one case."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oomctl import lazy
from oomctl.errors import OomctlError, UsageError, while_ending
from oomctl.oom.outcome import Check
from oomctl.smoke.case import Case, Result
from oomctl.smoke.facts import Skipped

if TYPE_CHECKING:
    from oomctl.smoke.runner import CaseRunner

GROUPS = {
    "arguments": "every order and flag, valid or not",
    "returns": "the results 0 and 1, and oom_lock after each",
    "control": "the struct oom_control that the kfunc passes to the OOM killer",
    "selection": "which task dies: size, oom_score_adj, limits, ties, swap",
    "scope": "which tasks a target reaches: those below it, not those beside it",
    "group": "memory.oom.group",
    "events": "counters, kernel log, tracepoints",
    "inflight": "victims that are still dying",
    "lock": "calls while another process holds oom_lock",
    "system": "the whole system (NULL instead of a memcg)",
    "empty": "targets without a task that may be killed",
    "dying": "cgroups that are gone, going, or without a memory controller",
    "loadtime": "which programs the verifier lets call the kfunc",
    "context": "calls in task work, and on a stall, as the series' own test makes them",
    "panic": "what should panic the kernel, and what should not",
}
"""The groups in their order, each a module of oomctl.smoke.cases."""


def cases() -> tuple[Case, ...]:
    """Return every case, group by group."""
    return tuple(case for group in GROUPS for case in lazy.load(f"smoke.cases.{group}:CASES"))


def select(
    known: Sequence[Case], patterns: Sequence[str], excluded: Sequence[str]
) -> tuple[Case, ...]:
    """Return the cases that match any pattern (all for none), less the excluded ones.

    A pattern is a name, a group, or either with wildcards. UsageError if one matches no case.
    """
    for pattern in (*patterns, *excluded):
        if not any(_matches(pattern, case) for case in known):
            raise UsageError(
                f"no case matches {pattern!r}", "`oomctl smoke --list` prints all cases"
            )
    return tuple(
        case
        for case in known
        if (not patterns or any(_matches(pattern, case) for pattern in patterns))
        and not any(_matches(pattern, case) for pattern in excluded)
    )


def _matches(pattern: str, case: Case) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (case.name, case.group))


def run(case: Case, runner: CaseRunner, rounds: int = 1) -> Result:
    """Run a case `rounds` times, or say why not; it passes if every round does."""
    if reason := case.lacks(runner.facts):
        return Result(case.name, None, reason, rounds=0)
    began = time.monotonic_ns()
    results = [_run_once(case, runner) for _ in range(rounds)]
    shown = next((one for one in results if one.passed is False), results[-1])
    return Result(
        case.name,
        shown.passed,
        shown.reason,
        shown.checks,
        shown.evidence,
        rounds,
        sum(one.passed is True for one in results),
        time.monotonic_ns() - began,
    )


def _run_once(case: Case, runner: CaseRunner) -> Result:
    checks: list[Check] = []
    evidence: Sequence[str] = ()
    try:
        with runner.round(case.name) as collected:
            try:
                for check in case.run(runner):
                    checks.append(check)
            finally:
                evidence = collected()
        for fault in runner.faults():
            checks.append(Check("the kernel reports no fault of its own", False, fault.title))
            evidence = [*evidence, *(f"kernel log: {line}" for line in fault.lines)]
    except Skipped as skipped:
        return Result(case.name, None, str(skipped))
    except OomctlError as error:
        if while_ending(error):
            raise
        name = "the case can be carried out and cleaned up"
        checks.append(Check(name, False, "; ".join(error.lines)))
    if not checks:
        checks.append(Check("the case checks something", False, "no check was made"))
    return Result(case.name, all(c.passed for c in checks), "", tuple(checks), tuple(evidence))
