"""The suite: which cases there are, which are meant, and their results one after the other."""

import fnmatch
import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from oomctl.errors import OomctlError, UsageError, while_ending
from oomctl.oom.check import Check
from oomctl.smoke.case import Case, Result
from oomctl.smoke.facts import Facts, Skipped

GROUPS = {
    "arguments": "every order and flag, valid or not",
    "returns": "0, 1 and what is left behind by each",
    "control": "what the OOM killer is given by the kfunc",
    "selection": "who dies: size, oom_score_adj, limits, ties, swap",
    "scope": "what a target reaches: below it, not beside it",
    "group": "memory.oom.group",
    "events": "counters, kernel log, tracepoints",
    "inflight": "victims that are still dying",
    "lock": "oom_lock is held by another",
    "system": "the whole system (NULL instead of a memcg)",
    "empty": "targets without a task that may be killed",
    "dying": "cgroups that are gone, going, or without a memory controller",
    "loadtime": "which programs the verifier lets call it",
    "panic": "what should take the machine down, and what should not",
}
"""The groups in their order, each a module of oomctl.smoke.cases."""


class AnyRunner(Protocol):
    """What the suite itself wants of a bench."""

    facts: Facts

    def round(self) -> AbstractContextManager[Callable[[], Sequence[str]]]:
        """Begin and end a round of a case with a clean machine; yields what tells the evidence."""


def cases() -> tuple[Case, ...]:
    """Return every case, group by group."""
    found: list[Case] = []
    for group in GROUPS:
        found += importlib.import_module(f"oomctl.smoke.cases.{group}").CASES
    return tuple(found)


def select(
    known: Sequence[Case], patterns: Sequence[str], excluded: Sequence[str]
) -> tuple[Case, ...]:
    """Return the cases that any pattern means (all for none), less the excluded ones.

    A pattern is a name, a group, or either with wildcards. UsageError where one means nothing.
    """
    for pattern in (*patterns, *excluded):
        if not any(_means(pattern, case) for case in known):
            raise UsageError(f"no case is called {pattern!r}", "`oomctl smoke --list` has them all")
    return tuple(
        case
        for case in known
        if (not patterns or any(_means(pattern, case) for pattern in patterns))
        and not any(_means(pattern, case) for pattern in excluded)
    )


def _means(pattern: str, case: Case) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (case.name, case.group))


def run(case: Case, runner: AnyRunner, rounds: int = 1) -> Result:
    """Run a case so many times, or say why not; it passes if every round does."""
    if reason := case.lacks(runner.facts):
        return Result(case.name, None, reason, rounds=0)
    began = time.monotonic_ns()
    results = [_once(case, runner) for _ in range(rounds)]
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


def _once(case: Case, runner: AnyRunner) -> Result:
    checks: list[Check] = []
    evidence: Sequence[str] = ()
    try:
        with runner.round() as told:
            try:
                for check in case.run(runner):  # type: ignore[arg-type]
                    checks.append(check)
            finally:
                evidence = told()
    except Skipped as skipped:
        return Result(case.name, None, str(skipped))
    except OomctlError as error:
        if while_ending(error):
            raise
        checks.append(Check("it can be carried out and cleaned up", False, "; ".join(error.lines)))
    if not checks:
        checks.append(Check("something is checked", False, "nothing was"))
    return Result(case.name, all(c.passed for c in checks), "", tuple(checks), tuple(evidence))
