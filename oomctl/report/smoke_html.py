"""The suite as one HTML page: groups, cases and kernels as a matrix, failures with evidence."""

from collections.abc import Iterator, Sequence

from oomctl.oom.enums import CaseStatus
from oomctl.report import page, plot
from oomctl.report.casetable import status_of
from oomctl.report.page import escape
from oomctl.report.run_parts import letter
from oomctl.smoke.case import Case, Result
from oomctl.smoke.comparison import Comparison, of_reports
from oomctl.smoke.results import Report
from oomctl.smoke.suite import GROUPS
from oomctl.text import counted

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
    yield from page.top(*_top(found))
    origins = [page.origin(dict(run.report.environment)) for run in found.runs]
    if len(origins) > _NAMED:
        origins = [page.details(f"where the {len(origins)} runs were made", "".join(origins))]
    yield from origins
    yield from body(found)


def _top(found: Comparison) -> tuple[page.Tone, str, str]:
    """Return the colour, the word and the sentence that say how it ended."""
    lost = [run.name for run in found.runs if run.error]
    results = [(run, one) for run in found.runs for one in run.report.results]
    failed = [*dict.fromkeys(run.name for run, one in results if one.passed is False)]
    cases = [*dict.fromkeys(one.name for _run, one in results if one.passed is False)]
    if cases:
        names = ", ".join(cases[:_NAMED]) + ", ..." * (len(cases) > _NAMED)
        return "bad", "failed", f"{names} on {_kernels(failed, len(found.runs))}"
    if lost:
        return "bad", "failed", f"no results, or not all, of {', '.join(lost)}"
    on = _kernels([run.name for run in found.runs], len(found.runs))
    if any(one.passed for _run, one in results):
        return "good", "passed", f"no case failed on {on}"
    return "warn", "skipped", f"no case could run on {on}"


def _kernels(names: Sequence[str], of: int) -> str:
    named = f"kernel{'s' * (len(names) > 1)} {', '.join(names)}"
    return named if len(names) <= _NAMED else f"{len(names)} of {counted(of, 'kernel')}"


def body(found: Comparison) -> Iterator[str]:
    """Yield all but the heading: each kernel, what failed, the matrix, what was skipped."""
    yield page.facts((run.name, run.report.result) for run in found.runs)
    yield page.rows((run.name, run.error) for run in found.runs if run.error)
    yield from _failures(found)
    yield "<h2>Groups, cases and kernels</h2>"
    yield _matrix(found)
    yield from _skipped(found)


def _failures(found: Comparison) -> Iterator[str]:
    """Yield each failed case, opened, with what was expected, what was found, and the evidence."""
    for case in found.cases:
        evidence: dict[tuple[str, ...], list[str]] = {}
        for run in found.runs:
            for one in run.report.results:
                if one.name == case.name and one.passed is False:
                    evidence.setdefault(tuple(one.diagnostics), []).append(run.name)
        if not evidence:
            continue
        yield f'<h2><span class="bad">failed</span> {escape(case.name)}</h2>'
        yield f"<p>{escape(case.about)}</p>"
        for lines, names in evidence.items():
            where = _kernels(names, len(found.runs))
            yield page.details(f"evidence on {where}", page.pre("\n".join(lines)), True)


def _matrix(found: Comparison) -> str:
    kernels = [{one.name: one for one in run.report.results} for run in found.runs]
    names = [run.name for run in found.runs]
    legend = ""
    if len(names) > _NAMED:
        keyed = (f"{letter(at)} {name}" for at, name in enumerate(names))
        legend = f'<p class="dim">{escape(", ".join(keyed))}</p>'
        names = [letter(at) for at in range(len(names))]
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    took = "<th>took</th>" if not legend else ""
    rows = [f"<thead><tr><th>case</th>{heads}{took}</tr></thead>"]
    for group in dict.fromkeys(case.group for case in found.cases):
        cases = [case for case in found.cases if case.group == group]
        about = escape(GROUPS.get(group, ""))
        rows.append(
            f'<tr><th colspan="{len(kernels) + 2}">{escape(group)} '
            f'<span class="dim">{about}</span></th></tr>'
        )
        rows += [_row(case, [of.get(case.name) for of in kernels]) for case in cases]
    kind = "cells many" if legend else "cells"
    return f'{legend}<div class="wide"><table class="{kind}">{"".join(rows)}</table></div>'


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
    about = f'{name} <span class="about dim">{escape(case.about)}</span>'
    last = f'<td class="number">{took}</td>' if len(results) <= _NAMED else ""
    return f"<tr><td>{about}</td>{cells}{last}</tr>"


def _sign(one: Result, kernels: int) -> str:
    sign = _SIGNS[status_of(one.passed)]
    return sign if kernels <= _NAMED else sign[0].replace("s", "-")


def _skipped(found: Comparison) -> Iterator[str]:
    whys: dict[tuple[str, str], list[str]] = {}
    for run in found.runs:
        for one in run.report.results:
            if one.passed is None:
                whys.setdefault((one.name, one.reason), []).append(run.name)
    if whys:
        yield "<h2>Skipped</h2>"
        yield page.rows(
            (case, why if len(names) == len(found.runs) else f"{why} ({', '.join(names)})")
            for (case, why), names in whys.items()
        )
