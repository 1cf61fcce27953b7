"""A run of the smoke suite in each of its forms; KTAP and JSON lines are written as it runs."""

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from oomctl import lazy
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.outcome import Check
from oomctl.report import ktap
from oomctl.report.parts import Table, as_text
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report, count, tree
from oomctl.smoke.suite import GROUPS
from oomctl.text import printable
from oomctl.units import format_duration

SmokeFormat = Literal["table", "ktap", "json", "jsonl", "junit"]


class StreamReporter:
    """Receives the progress of a run and passes text to `write`."""

    def __init__(self, write: Callable[[str], object], verbose: bool = False) -> None:
        self._write = write
        self._verbose = verbose

    def begin(self, report: Report) -> None:
        """Begin: the report has the machine and the cases, but no results."""

    def case_starts(self, case: Case) -> None:
        """Report that a case is about to run."""

    def case_ends(self, result: Result) -> None:
        """Report the result of the next case."""

    def end(self, report: Report) -> None:
        """End: the report has all results."""


class Ktap(StreamReporter):
    """KTAP 1 (Documentation/dev-tools/ktap.rst): a test for each group, a subtest for each case."""

    def begin(self, report: Report) -> None:
        """Write version, machine and plan."""
        self._groups = {
            group: [case.name for case in report.cases if case.group == group]
            for group in report.groups
        }
        self._results: list[Result] = []
        signature = (
            report.environment["kfunc"]["signature"] or "this kernel has no bpf_out_of_memory()"
        )
        self._print(ktap.head(len(self._groups), report.machine, signature))

    def case_ends(self, result: Result) -> None:
        """Write a subtest, and before the first and after the last the lines of their group."""
        group, _, name = result.name.partition(".")
        members = self._groups[group]
        if not self._results:
            self._print(ktap.indented(ktap.subtests(group, len(members))))
        self._results.append(result)
        lines = [f"# {line}" for line in result.diagnostics]
        if self._verbose and result.passed:
            lines += [f"# {check.name}: {check.why}" for check in result.checks]
        number = len(self._results)
        lines.append(ktap.result(number, Check(name, result.passed, result.reason)))
        self._print(ktap.indented(lines))
        if number == len(members):
            self._end_group(group)

    def _end_group(self, group: str) -> None:
        self._print(
            [ktap.result(list(self._groups).index(group) + 1, _of_all(group, self._results))]
        )
        self._results = []

    def end(self, report: Report) -> None:
        """Write the counts for people; kunit.py does not print them."""
        self._print([f"# {report.summary}"])

    def _print(self, lines: Sequence[str] | Iterator[str]) -> None:
        self._write(ktap.text(lines))


def _of_all(group: str, results: Sequence[Result]) -> Check:
    if any(one.passed is False for one in results):
        return Check(group, False)
    if any(one.passed for one in results):
        return Check(group, True)
    reasons = dict.fromkeys(one.reason for one in results)
    return Check(group, None, "; ".join(reasons))


class Lines(StreamReporter):
    """JSON lines: the suite, then the start and the result of each case, then the end."""

    def begin(self, report: Report) -> None:
        """Write the machine and the names of the cases."""
        names = [case.name for case in report.cases]
        self._print(kind="suite", schema=SCHEMA, environment=report.environment, cases=names)

    def case_starts(self, case: Case) -> None:
        """Write its name: if the machine goes down, this case did it."""
        self._print(kind="start", name=case.name)

    def case_ends(self, result: Result) -> None:
        """Write the result."""
        self._print(kind="case", **tree(result))

    def end(self, report: Report) -> None:
        """Write the counts."""
        self._print(kind="end", **count(report.results))

    def _print(self, **line: object) -> None:
        self._write(json.dumps(line) + "\n")


class _Whole(StreamReporter):
    """Writes nothing before the end."""

    def __init__(self, render: Callable[[Report], str], write: Callable[[str], object]) -> None:
        super().__init__(write)
        self._render = render

    def end(self, report: Report) -> None:
        """Write the whole result."""
        self._write(self._render(report))


def reporter(
    form: SmokeFormat, write: Callable[[str], object], verbose: bool = False
) -> StreamReporter:
    """Return the reporter of a form, which passes its text to `write` piece by piece."""
    if form in ("ktap", "jsonl"):
        return (Ktap if form == "ktap" else Lines)(write, verbose)
    forms: dict[str, Callable[[Report], str]] = {
        "json": _json,
        "junit": lazy.function("report.junit:render_smoke"),
        "table": lambda report: table(report, verbose),
    }
    return _Whole(forms[form], write)


def whole(report: Report) -> dict[str, Any]:
    """Return a run as plain values."""
    abouts = {case.name: case.about for case in report.cases}
    return {
        "environment": report.environment,
        "counts": count(report.results),
        "cases": [{"about": abouts[one.name], **tree(one)} for one in report.results],
    }


def _json(report: Report) -> str:
    return json.dumps({"schema": SCHEMA, **whole(report)}, indent=2) + "\n"


def table(report: Report, verbose: bool = False) -> str:
    """Return a row for each group, or for each case, then the failures and the reasons to skip."""
    parts = [as_text([_by_case(report) if verbose else _by_group(report)]).rstrip("\n")]
    skipped: dict[str, list[str]] = {}
    for one in report.results:
        if one.passed is None:
            skipped.setdefault(one.reason, []).append(one.name)
    parts += [f"skipped: {', '.join(names)}\n  {why}" for why, names in skipped.items()]
    abouts = {case.name: case.about for case in report.cases}
    for one in report.results:
        if one.passed is False:
            lines = [f"FAILED: {one.name} ({abouts[one.name]})", *one.diagnostics]
            parts.append("\n  ".join(map(printable, lines)))
    took = format_duration(sum(one.took_ns for one in report.results))
    parts.append(f"{report.machine}\n{report.summary}, in {took}")
    return "\n\n".join(parts) + "\n"


def _by_group(report: Report) -> Table:
    rows = []
    for group in report.groups:
        results = report.of_group(group)
        counts = [str(number) if number else "-" for number in count(results).values()]
        took = format_duration(sum(one.took_ns for one in results))
        rows.append([group, *counts, took, GROUPS.get(group, "")])
    headers = ["group", "passed", "failed", "skipped", "took", "about"]
    return Table(headers, rows, headers[1:5])


def _by_case(report: Report) -> Table:
    rows = [
        [case.name, one.word, format_duration(one.took_ns) if one.rounds else "-", case.about]
        for case, one in zip(report.cases, report.results, strict=True)
    ]
    return Table(["case", "result", "took", "about"], rows, ("took",))


def listing(cases: Sequence[Case], form: str, width: int | None = None) -> str:
    """Return the cases with what they ask: as JSON, or as text, wrapped at `width` columns.

    Without a width each case is one line, for grep and the like.
    """
    if form in ("json", "jsonl"):
        listed = [{"name": c.name, "group": c.group, "about": c.about} for c in cases]
        if form == "jsonl":
            return "".join(f"{json.dumps(each)}\n" for each in listed)
        return json.dumps({"schema": SCHEMA, "cases": listed}, indent=2) + "\n"
    column = max((len(case.name) for case in cases), default=0) + 2
    lines: list[str] = []
    for group in dict.fromkeys(case.group for case in cases):
        lines += [*([""] if lines else []), f"# {group}: {GROUPS.get(group, '')}"]
        lines += [f"{c.name.ljust(column)}{c.about}" for c in cases if c.group == group]
    if width:
        wrapped = [
            textwrap.wrap(line, width, subsequent_indent=" " * column) or [""] for line in lines
        ]
        lines = [line for each in wrapped for line in each]
    return "".join(f"{line}\n" for line in lines)
