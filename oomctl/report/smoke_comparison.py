"""The suite on several kernels in its forms: a table for people, JSON with the full results."""

import json
from collections.abc import Iterator

from oomctl import commandline
from oomctl.oom.as_json import SCHEMA
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.report.rows import as_csv
from oomctl.report.smoke_reporter import whole
from oomctl.smoke.comparison import Comparison, KernelRun
from oomctl.smoke.results import count
from oomctl.text import counted
from oomctl.units import format_duration


def render_text(comparison: Comparison, terminal: int | None = None) -> str:
    """Return the kernels, a row for each group, the cases that differ, and why."""
    return as_text(parts(comparison), terminal=terminal)


def render_markdown(comparison: Comparison) -> str:
    """Return the same as Markdown."""
    return as_markdown(parts(comparison))


def render_csv(comparison: Comparison) -> str:
    """Return a row for each case on each kernel."""
    return as_csv(
        {
            "kernel": run.name,
            "name": one.name,
            "result": one.word,
            "took_ns": one.took_ns,
            "rounds": one.rounds,
            "rounds_passed": one.good,
            "why": one.why,
        }
        for run in comparison.runs
        for one in run.report.results
    )


def render_json(comparison: Comparison) -> str:
    """Return the full results of each kernel, and the cases that differ."""
    names = [run.name for run in comparison.runs]
    tree = {
        "schema": SCHEMA,
        "environment": commandline.origin(),
        "kernels": [
            {"kernel": run.name, "error": run.error or None, **whole(run.report)}
            for run in comparison.runs
        ],
        "differences": [
            {
                "name": each.case.name,
                "about": each.case.about,
                "results": dict(zip(names, each.words, strict=True)),
                "reasons": {
                    name: result.why
                    for name, result in zip(names, each.results, strict=True)
                    if result and result.why
                },
            }
            for each in comparison.differences
        ],
    }
    return json.dumps(tree, indent=2) + "\n"


def parts(comparison: Comparison) -> Iterator[Part]:
    """Yield the comparison as parts."""
    names = [run.name for run in comparison.runs]
    yield Lines([row for run in comparison.runs for row in _kernel(run)])
    rows = []
    for group in dict.fromkeys(case.group for case in comparison.cases):
        rows.append([group, *(_of_group(run, group) for run in comparison.runs)])
    yield Table(["passed/failed/skipped", *names], rows, numbers=names)
    differences = comparison.differences
    ran = all(len(run.report.results) == len(comparison.cases) for run in comparison.runs)
    if not differences and not ran:
        return
    if not differences:
        number = counted(len(comparison.cases), "case")
        yield Lines([("same", f"{number}, the same results on all kernels")])
        return
    yield Heading(f"{counted(len(differences), 'case')} of {len(comparison.cases)} differ")
    yield Table(["case", *names], [[each.case.name, *each.words] for each in differences])
    for each in differences:
        why = [
            (name, result.why)
            for name, result in zip(names, each.results, strict=True)
            if result and result.why
        ]
        yield Lines([("case", f"{each.case.name}: {each.case.about}"), *why])


def _kernel(run: KernelRun) -> Iterator[tuple[str, str]]:
    machine = run.report.machine if run.report.environment else "-"
    yield "kernel", f"{run.name}: {machine}; {run.report.result}"
    if run.error:
        yield "error", run.error


def _of_group(run: KernelRun, group: str) -> str:
    results = run.report.of_group(group)
    took = format_duration(sum(one.took_ns for one in results)) if results else "-"
    return f"{'/'.join(map(str, count(results).values()))} {took}"
