"""A run of the smoke suite in each of its forms; some are written as it runs."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from oomctl.oom.as_json import SCHEMA
from oomctl.report import SMOKE_RENDERERS, CaseFormat, render
from oomctl.report.casetable import WRITERS, text, writer
from oomctl.report.smoke_tables import markdown, table
from oomctl.report.testcases import of_result, of_smoke
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report, count, tree

SmokeFormat = Literal["table", "json", "jsonl", "markdown", "html", CaseFormat]


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


class JsonLines(StreamReporter):
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
        return JsonLines(write, verbose)
    if form == "html":
        return _Whole(lambda report: SMOKE_RENDERERS["html"]([report]), write)
    if form == "json":
        return _Whole(_json, write)
    if form == "markdown":
        return _Whole(markdown, write)
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
