"""An outcome, or runs of many, as JUnit XML: a suite for each declaration, or each variant."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.oom.outcome import CallReport, Check, Outcome
from oomctl.report.run_parts import rate, title
from oomctl.report.testcases import expectations, over_rounds
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import Statistics
from oomctl.smoke.results import Report
from oomctl.text import printable


def render(outcome: Outcome) -> str:
    """Return the document; a test case is one expectation of one declaration."""
    suites = (_suite(number, one, outcome) for number, one in enumerate(outcome.calls, 1))
    return _document("oomctl declare", suites)


def render_runs(sections: Sequence[Section]) -> str:
    """Return the document; a test case is one expectation over all rounds of one variant."""
    runs = ((section.run, one) for section in sections for one in section.run.statistics)
    return _document("oomctl run", (_variant(run, one) for run, one in runs))


def render_smoke(report: Report) -> str:
    """Return the document; a suite is a group of cases."""
    return _document("oomctl smoke", (_group(name, report) for name in report.groups))


def _group(name: str, report: Report) -> ET.Element:
    results = report.of_group(name)
    tests = [Check(one.name.partition(".")[2], one.passed, one.why) for one in results]
    took = sum(one.took_ns for one in results)
    suite = _cases(name, tests, took, [("machine", report.machine)], "contract")
    for case, one in zip(suite.iter("testcase"), results, strict=True):
        case.set("time", f"{one.took_ns / 1e9:.9f}")
        for failure in case.iter("failure"):
            failure.text = "\n".join(map(printable, one.diagnostics))
    return suite


def _document(name: str, suites: Iterable[ET.Element]) -> str:
    root = ET.Element("testsuites", name=name)
    root.extend(suites)
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, 0)) for suite in root)))
    for element in root.iter():
        element.text = _clean(element.text) if element.text else None
        element.attrib.update({key: _clean(value) for key, value in element.attrib.items()})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(number: int, declared: CallReport, outcome: Outcome) -> ET.Element:
    suite = _cases(
        f"declaration {number}",
        expectations(declared),
        declared.result.duration_ns or 0,
        [*call_rows(declared), ("machine", machine_line(outcome.environment))],
        declared.verdict.name,
    )
    log = "\n".join(printable(record.text) for record in declared.log)
    ET.SubElement(suite, "system-out").text = "\n".join([log, *outcome_notes(outcome)]).strip()
    return suite


def _variant(run: Run, one: Statistics) -> ET.Element:
    tests: Sequence[Check] = over_rounds(one)
    if run.end and run.end.why == "unsupported":
        tests = [Check("every round ran", None, run.end.reason)]
    about = [("rounds", rate(one)), ("machine", machine_line(run.header.environment))]
    about += [(f"verdict {verdict}", str(count)) for verdict, count in one.verdicts.items()]
    suite = _cases(title(run, one), tests, one.took_ns, about, "expectation")
    ended = [f"{run.end.why}: {run.end.reason}"] if run.end and run.end.reason else []
    ET.SubElement(suite, "system-out").text = "\n".join([*ended, *run.remarks])
    return suite


def _cases(
    name: str, tests: Sequence[Check], took_ns: int, about: Iterable[tuple[str, str]], failure: str
) -> ET.Element:
    suite = ET.Element("testsuite", name=name, tests=str(len(tests)), errors="0")
    suite.set("failures", str(sum(test.passed is False for test in tests)))
    suite.set("skipped", str(sum(test.passed is None for test in tests)))
    suite.set("time", f"{took_ns / 1e9:.9f}")
    properties = ET.SubElement(suite, "properties")
    for label, text in about:
        ET.SubElement(properties, "property", name=label, value=text)
    for test in tests:
        case = ET.SubElement(suite, "testcase", classname=f"oomctl.{name}", name=test.name)
        if test.passed is None:
            ET.SubElement(case, "skipped", message=test.why)
        elif not test.passed:
            ET.SubElement(case, "failure", type=failure, message=test.why)
    return suite


def _clean(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
