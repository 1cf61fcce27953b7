"""What `oomctl fuzz` came to, in its forms, all made of the values of its JSON.

So a saved report is shown as a new one.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from oomctl.fuzz.finding import Finding
from oomctl.fuzz.loop import FuzzReport
from oomctl.oom import as_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.enums import Agreement
from oomctl.report import page
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.report.rows import as_csv
from oomctl.text import counted, printable
from oomctl.units import Duration

Tree = Mapping[str, Any]
_MOST = 3
_ENDS = {
    "done": "",
    "enough": "; ended by --findings",
    "interrupted": "; interrupted",
    "failed": "; ended by an error",
}


def tree(report: FuzzReport) -> Tree:
    """Return a report as plain values, which the renderers take."""
    return {
        "schema": SCHEMA,
        "environment": as_json.environment(report.environment),
        "seed": report.seed,
        "end": report.end,
        "seconds": round(report.seconds, 3),
        "experiments": report.experiments,
        "rounds": {str(each): report.agreements.get(each, 0) for each in Agreement},
        "findings": [_finding(each) for each in report.findings],
        "repeated": report.repeated,
        "coverage": [
            {"what": what, "which": which, "rounds": number}
            for what, which, number in report.coverage
        ],
    }


def render_text(report: Tree, terminal: int | None = None) -> str:
    """Return the report as text: rounds, findings with their scenarios, coverage."""
    scenarios = "".join(f"\n{finding['scenario']}" for finding in report["findings"])
    return as_text(_parts(report), terminal=terminal) + scenarios


def render_markdown(report: Tree) -> str:
    """Return the report as Markdown, without the scenarios."""
    return as_markdown(_parts(report))


def render_json(report: Tree) -> str:
    """Return the report as one object."""
    return json.dumps(report, indent=2) + "\n"


def render_csv(report: Tree) -> str:
    """Return a row for each finding."""
    rows = ({**each, "disagreements": _texts(each)} for each in report["findings"])
    return as_csv(rows)


def render_html(report: Tree) -> str:
    """Return the page: findings first, each with its scenario."""
    return page.page("random experiments against the model", _page(report))


def _page(report: Tree) -> Iterator[str]:
    findings = report["findings"]
    rounds = counted(sum(report["rounds"].values()), "round")
    if findings:
        sentence = f"{counted(len(findings), 'finding')} in {rounds}"
        yield from page.top(
            "bad", "differs", sentence, [text for one in findings for text in _texts(one)][:_MOST]
        )
    else:
        yield from page.top("good", "agreed", f"no new finding in {rounds}")
    yield page.origin(report["environment"])
    yield from page.parts([_summary(report)])
    for finding in findings:
        yield from page.parts(_about_finding(finding))
        yield page.details("its scenario", page.pre(finding["scenario"]), True)
    yield from page.parts(_coverage(report))


def _parts(report: Tree) -> Iterator[Part]:
    yield _summary(report)
    yield from _coverage(report)
    for finding in report["findings"]:
        yield from _about_finding(finding)


def _summary(report: Tree) -> Lines:
    results = [f"{number} {name}" for name, number in report["rounds"].items() if number]
    seconds, experiments = report["seconds"], report["experiments"]
    rate = experiments / seconds if seconds else 0.0
    rounds = sum(report["rounds"].values())
    rows = [
        ("kernel", report["environment"]["kernel"]),
        ("seed", str(report["seed"])),
        ("rounds", f"{rounds}: {', '.join(results) or 'none'}{_ENDS[report['end']]}"),
        (
            "rate",
            f"{counted(experiments, 'experiment')} in {Duration(round(seconds, 1))}, "
            f"{rate:.1f} a second",
        ),
    ]
    rows += [("known", f"{form}, {counted(n, 'time')}") for form, n in report["repeated"].items()]
    return Lines(rows)


def _coverage(report: Tree) -> list[Part]:
    rows = [(row["what"], row["which"], str(row["rounds"])) for row in report["coverage"]]
    return [Heading("Exercised"), Table(("what", "which", "rounds"), rows, {"rounds"})]


def _about_finding(finding: Tree) -> list[Part]:
    lines = Lines([("", each) for each in _about(finding)])
    return [Heading(f"Finding {finding['form']}"), lines]


def _about(finding: Tree) -> Iterator[str]:
    hogs = counted(finding["hogs"], "hog")
    rate = f"confirmed {finding['seen']} of {counted(finding['tried'], 'time')}"
    made = "shrunk to" if finding["shrunk"] else "not shrunk:"
    yield f"case {finding['case']}, {rate}, {made} {hogs}"
    yield from _texts(finding)


def _texts(finding: Tree) -> list[str]:
    return [f"{each['oracle']}: {each['text']}" for each in finding["disagreements"]]


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "form": finding.form,
        "case": finding.origin,
        "seen": finding.seen,
        "tried": finding.tried,
        "shrunk": finding.is_shrunk,
        "hogs": len(finding.case.hogs),
        "disagreements": [
            {"oracle": each.oracle, "text": printable(each.text)} for each in finding.disagreements
        ],
        "scenario": finding.text(),
    }
