"""The suite as one HTML page: groups, cases and kernels as a matrix, failures with evidence."""

from collections.abc import Iterator, Sequence

from oomctl.oom.enums import CaseStatus
from oomctl.report import page, plot
from oomctl.report.casetable import status_of
from oomctl.report.page import escape
from oomctl.report.run_parts import letter
from oomctl.smoke.case import Case, Result
from oomctl.smoke.comparison import Comparison, KernelRun, of_reports
from oomctl.smoke.results import Report, count
from oomctl.smoke.suite import GROUPS
from oomctl.text import counted
from oomctl.units import format_duration

_SIGNS = {CaseStatus.PASS: "✓", CaseStatus.FAIL: "✗ failed", CaseStatus.SKIP: "skipped"}
_NAMED = 4
"""Kernels whose names are headers of the matrix; more of them get a letter, and short signs."""


def render(suites: Sequence[Report]) -> str:
    """Return the page of one kernel, or of several side by side."""
    return render_comparison(of_reports(suites))


def render_comparison(found: Comparison) -> str:
    """Return the page of a comparison of kernels."""
    return page.page("oomctl smoke", _page(found))


def _page(found: Comparison) -> Iterator[str]:
    reports = [run.report for run in found.runs]
    failed = sum(count(report.results)["failed"] for report in reports)
    passed = sum(count(report.results)["passed"] for report in reports)
    names = ", ".join(run.name for run in found.runs)
    lost = ", ".join(run.name for run in found.runs if run.error)
    if lost and not failed:
        yield from page.top("bad", "failed", f"no results, or not all, of {lost}")
    elif failed:
        sentence = f"{counted(failed, 'case')} failed on {names}"
        yield from page.top("bad", "failed", sentence)
    elif passed:
        yield from page.top("good", "passed", f"Linux {names} keeps the contract, as far as tested")
    else:
        yield from page.top("warn", "skipped", f"no case could run on {names}")
    for run in found.runs:
        yield page.origin(dict(run.report.environment))
    yield from body(found)


def body(found: Comparison) -> Iterator[str]:
    """Yield all but the heading: each kernel, what failed, the matrix, what was skipped."""
    yield page.facts((run.name, _summary(run)) for run in found.runs)
    yield page.rows((run.name, run.error) for run in found.runs if run.error)
    yield from _failures(found)
    yield "<h2>Groups, cases and kernels</h2>"
    yield _matrix(found)
    yield from _skipped(found)


def _summary(run: KernelRun) -> str:
    took = format_duration(sum(one.took_ns for one in run.report.results))
    return f"{run.report.summary}, in {took}"


def _failures(found: Comparison) -> Iterator[str]:
    """Yield each failed case, opened, with what was expected, what was found, and the evidence."""
    abouts = {case.name: case.about for case in found.cases}
    for run in found.runs:
        for one in run.report.results:
            if one.passed is False:
                where = f"{escape(one.name)} on {escape(run.name)}"
                yield f'<h2><span class="bad">failed</span> {where}</h2>'
                yield f"<p>{escape(abouts[one.name])}</p>"
                lines = "\n".join(map(escape, one.diagnostics))
                yield page.details("evidence", f"<pre>{lines}</pre>", True)


def _matrix(found: Comparison) -> str:
    kernels = [{one.name: one for one in run.report.results} for run in found.runs]
    names = [run.name for run in found.runs]
    legend = ""
    if len(names) > _NAMED:
        legend = page.rows((letter(at), name) for at, name in enumerate(names))
        names = [letter(at) for at in range(len(names))]
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = [f"<thead><tr><th>case</th>{heads}<th>took</th></tr></thead>"]
    for group in dict.fromkeys(case.group for case in found.cases):
        cases = [case for case in found.cases if case.group == group]
        about = escape(GROUPS.get(group, ""))
        rows.append(
            f'<tr><th colspan="{len(kernels) + 2}">{escape(group)} '
            f'<span class="dim">{about}</span></th></tr>'
        )
        rows += [_row(case, [of.get(case.name) for of in kernels]) for case in cases]
    return f'{legend}<div class="wide"><table class="cells">{"".join(rows)}</table></div>'


def _row(case: Case, results: Sequence[Result | None]) -> str:
    cells = "".join(
        f'<td class="{status_of(one.passed)}">{_sign(one, len(results))}</td>'
        if one
        else "<td>-</td>"
        for one in results
    )
    times = [one.took_ns for one in results if one and one.rounds]
    took = plot.duration_text(min(times), max(times)) if times else ""
    name = escape(case.name.partition(".")[2])
    about = f'{name}<br><span class="dim">{escape(case.about)}</span>'
    return f'<tr><td>{about}</td>{cells}<td class="number">{took}</td></tr>'


def _sign(one: Result, kernels: int) -> str:
    sign = _SIGNS[status_of(one.passed)]
    return sign if kernels <= _NAMED else sign[0].replace("s", "-")


def _skipped(found: Comparison) -> Iterator[str]:
    whys: dict[tuple[str, str], list[str]] = {}
    for run in found.runs:
        for one in run.report.results:
            if one.passed is None:
                whys.setdefault((run.name, one.reason), []).append(one.name)
    if whys:
        yield "<h2>Skipped</h2>"
        yield page.rows(
            (f"{kernel}: {', '.join(names)}", why) for (kernel, why), names in whys.items()
        )
