"""A run of the suite: the machine, the selected cases, and their results. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oomctl.describe.machine_text import machine_line
from oomctl.errors import Exit
from oomctl.oom.outcome import Check
from oomctl.smoke.case import Case, Result
from oomctl.units import format_duration


@dataclass(frozen=True)
class Report:
    """The results of a run; `environment` is as in JSON, `cases` are in the order of results."""

    environment: Mapping[str, Any]
    cases: tuple[Case, ...]
    results: tuple[Result, ...] = ()

    @property
    def machine(self) -> str:
        """The kernel in words, and where its kfunc is."""
        return machine_line(self.environment)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the cases."""
        return tuple(dict.fromkeys(case.group for case in self.cases))

    def of_group(self, group: str) -> tuple[Result, ...]:
        """Return the results of a group."""
        return tuple(one for one in self.results if one.name.startswith(f"{group}."))

    @property
    def summary(self) -> str:
        """The counts: `98 passed, 1 failed, 4 skipped`."""
        return ", ".join(f"{number} {word}" for word, number in count(self.results).items())

    @property
    def result(self) -> str:
        """The counts, and the time of all cases, of which several may have run at once."""
        took = format_duration(sum(one.took_ns for one in self.results))
        return f"{self.summary}; the cases took {took}"

    @property
    def exit(self) -> Exit:
        """The exit code: whether a case failed, and whether any could run."""
        counts = count(self.results)
        if counts["failed"]:
            return Exit.NOT_AS_WANTED
        return Exit.OK if counts["passed"] else Exit.UNSUPPORTED


def count(results: Sequence[Result]) -> dict[str, int]:
    """Count results by their word."""
    words = [one.word for one in results]
    return {word: words.count(word) for word in ("passed", "failed", "skipped")}


def tree(result: Result) -> dict[str, Any]:
    """Return a result as plain values."""
    return {
        "name": result.name,
        "result": result.word,
        "reason": result.reason or None,
        "took_ns": result.took_ns,
        "rounds": result.rounds,
        "rounds_passed": result.good,
        "checks": [{"name": c.name, "passed": c.passed, "why": c.why} for c in result.checks],
        "evidence": list(result.evidence),
    }


def result_of(line: Mapping[str, Any]) -> Result:
    """Read a result back; KeyError or TypeError if it is malformed."""
    return Result(
        name=str(line["name"]),
        passed={"passed": True, "failed": False, "skipped": None}[line["result"]],
        reason=line["reason"] or "",
        checks=tuple(Check(c["name"], c["passed"], c["why"]) for c in line["checks"]),
        evidence=tuple(line["evidence"]),
        rounds=int(line["rounds"]),
        good=int(line["rounds_passed"]),
        took_ns=int(line["took_ns"]),
    )
