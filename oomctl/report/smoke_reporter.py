"""A run of the smoke suite in each of its forms; some are written as it runs."""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from oomctl.oom.as_json import SCHEMA
from oomctl.report import SMOKE_RENDERERS, CaseFormat, render
from oomctl.report.casetable import WRITERS, text, writer
from oomctl.report.parts import Table, as_text
from oomctl.report.testcases import of_result, of_smoke
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report, count, tree
from oomctl.smoke.suite import GROUPS
from oomctl.text import printable
from oomctl.units import format_duration

SmokeFormat = Literal["table", "json", "jsonl", "html", CaseFormat]


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


class Together(StreamReporter):
    """Passes the progress on to several reporters."""

    def __init__(self, reporters: Sequence[StreamReporter]) -> None:
        self._reporters = reporters

    def begin(self, report: Report) -> None:
        """Begin all."""
        for each in self._reporters:
            each.begin(report)

    def case_starts(self, case: Case) -> None:
        """Report it to all."""
        for each in self._reporters:
            each.case_starts(case)

    def case_ends(self, result: Result) -> None:
        """Report it to all."""
        for each in self._reporters:
            each.case_ends(result)

    def end(self, report: Report) -> None:
        """End all."""
        for each in self._reporters:
            each.end(report)


class Cases(StreamReporter):
    """Writes the case table, row by row if its form can be written so."""

    def __init__(self, form: str, write: Callable[[str], object], verbose: bool = False) -> None:
        super().__init__(write, verbose)
        self._writer = writer(form)

    def begin(self, report: Report) -> None:
        """Write what stands before the first case."""
        self._print(self._writer.begin(of_smoke(report)))

    def case_ends(self, result: Result) -> None:
        """Write the row of a case."""
        self._print(self._writer.row(of_result(result, self._verbose)))

    def end(self, report: Report) -> None:
        """Write the rest, or all of it."""
        self._print(self._writer.end(of_smoke(report, self._verbose)))

    def _print(self, lines: Iterable[str]) -> None:
        if lines := tuple(lines):
            self._write(text(lines))


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
    form: str,
    write: Callable[[str], object],
    verbose: bool = False,
    width: int | None = None,
) -> StreamReporter:
    """Return the reporter of a form, which passes its text to `write` piece by piece."""
    if form in WRITERS:
        return Cases(form, write, verbose)
    if form == "jsonl":
        return Lines(write, verbose)
    if form == "html":
        return _Whole(lambda report: SMOKE_RENDERERS["html"]([report]), write)
    if form == "json":
        return _Whole(_json, write)
    tables = {"table": lambda report, width: table(report, verbose, width)}
    return _Whole(lambda report: render(tables, "table", report, terminal=width), write)


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


def table(report: Report, verbose: bool = False, width: int | None = None) -> str:
    """Return a row for each group, or for each case, then the failures and the reasons to skip."""
    shown = _by_case(report) if verbose else _by_group(report)
    if width:
        shown = replace(shown, prose={"about": 16})
    parts = [as_text([shown], terminal=width).rstrip("\n")]
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
    if width:
        parts[1:] = ["\n".join(_wrapped(part, width)) for part in parts[1:]]
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield lines that fit, each continued below its text."""
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(
            line, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        ) or [""]


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
    headers = ["case", "result", "took", "about"]
    return Table(headers, rows, ("took",), names=("case",))


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
