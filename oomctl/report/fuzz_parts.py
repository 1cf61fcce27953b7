"""What `oomctl fuzz` came to, as parts and as JSON (fuzz-schema.json)."""

import json
from collections.abc import Iterator

from oomctl.fuzz.finding import Finding
from oomctl.fuzz.loop import FuzzReport
from oomctl.oom import as_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.enums import Agreement
from oomctl.report.parts import Heading, Lines, Part, Table, as_text
from oomctl.text import counted, printable
from oomctl.units import Duration

_ENDS = {
    "done": "",
    "enough": "; stopped, because there are so many findings",
    "interrupted": "; interrupted",
    "failed": "; ended by an error",
}


def render_text(report: FuzzReport, terminal: int | None = None) -> str:
    """Return the report as text: rounds, findings with their scenarios, coverage."""
    scenarios = "".join(f"\n{finding.text()}" for finding in report.findings)
    return as_text(_parts(report), terminal=terminal) + scenarios


def _parts(report: FuzzReport) -> Iterator[Part]:
    results = [f"{number} {name}" for name, number in report.agreements.items() if number]
    rows = [
        ("kernel", report.environment.kernel),
        ("seed", str(report.seed)),
        ("rounds", f"{report.rounds}: {', '.join(results) or 'none'}{_ENDS[report.end]}"),
        (
            "rate",
            f"{counted(report.experiments, 'experiment')} in "
            f"{Duration(round(report.seconds, 1))}, {report.rate:.1f} a second",
        ),
    ]
    rows += [("known", f"{form}, {counted(n, 'time')}") for form, n in report.repeated.items()]
    yield Lines(rows)
    yield Heading("Exercised")
    counted_rows = [(what, which, str(number)) for what, which, number in report.coverage]
    yield Table(("what", "which", "rounds"), counted_rows, {"rounds"})
    for finding in report.findings:
        yield Heading(f"Finding {finding.form}")
        yield Lines([("", each) for each in _about(finding)])


def _about(finding: Finding) -> Iterator[str]:
    hogs = counted(len(finding.case.hogs), "hog")
    yield f"case {finding.origin}, {finding.rate}, {finding.made} {hogs}"
    yield from map(str, finding.disagreements)


def render_json(report: FuzzReport) -> str:
    """Return the report as one object."""
    tree = {
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
    return json.dumps(tree, indent=2) + "\n"


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "form": finding.form,
        "case": finding.origin,
        "seen": finding.seen,
        "tried": finding.tried,
        "hogs": len(finding.case.hogs),
        "disagreements": [
            {"oracle": each.oracle, "text": printable(each.text)} for each in finding.disagreements
        ],
        "scenario": finding.text(),
    }
