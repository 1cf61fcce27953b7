"""Runs of the suite that are over, in each form."""

from collections.abc import Sequence
from dataclasses import replace

from oomctl.report.smoke_comparison import render_markdown, render_text
from oomctl.report.smoke_reporter import reporter
from oomctl.smoke.comparison import of_reports
from oomctl.smoke.results import Report


def render(form: str, suites: Sequence[Report], width: int | None = None) -> str:
    """Return runs that are over in a form; a table of several has the kernels side by side."""
    if form == "table" and len(suites) > 1:
        return render_text(of_reports(suites), width)
    if form == "markdown" and len(suites) > 1:
        return render_markdown(of_reports(suites))
    parts: list[str] = []
    for report in suites:
        tell = reporter(form, parts.append, width=width)
        tell.begin(replace(report, results=()))
        for case, result in zip(report.cases, report.results, strict=True):
            tell.case_starts(case)
            tell.case_ends(result)
        tell.end(report)
    return "".join(parts)
