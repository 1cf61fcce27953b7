"""Test results as JUnit XML: a suite for each call, each variant, or each group of smoke cases."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from oomctl.oom.outcome import Check, Outcome
from oomctl.report.testcases import Suite, call_suites, run_suites
from oomctl.rounds.run import Section
from oomctl.smoke.results import Report
from oomctl.text import printable


def render(outcome: Outcome) -> str:
    """Return the document; a test case is one expectation of one call."""
    return _document("oomctl declare", map(_suite_with_output, call_suites(outcome)))


def render_runs(sections: Sequence[Section]) -> str:
    """Return the document; a test case is one expectation over all rounds of one variant."""
    return _document("oomctl run", map(_suite_with_output, run_suites(sections)))


def render_smoke(report: Report) -> str:
    """Return the document; a suite is a group of cases."""
    return _document("oomctl smoke", (_group(name, report) for name in report.groups))


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


def _clean(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _suite_with_output(suite: Suite) -> ET.Element:
    element = _suite(suite)
    output = "\n".join([*map(printable, suite.log), *suite.notes]).strip()
    ET.SubElement(element, "system-out").text = output
    return element


def _group(name: str, report: Report) -> ET.Element:
    results = report.of_group(name)
    tests = tuple(Check(one.name.partition(".")[2], one.passed, one.why) for one in results)
    took = sum(one.took_ns for one in results)
    element = _suite(Suite(name, tests, took, (), report.machine, "contract"))
    for case, one in zip(element.iter("testcase"), results, strict=True):
        case.set("time", _seconds(one.took_ns))
        for failure in case.iter("failure"):
            failure.text = "\n".join(map(printable, one.diagnostics))
    return element


def _suite(suite: Suite) -> ET.Element:
    element = ET.Element(
        "testsuite",
        name=suite.name,
        tests=str(len(suite.tests)),
        errors="0",
        failures=str(sum(test.passed is False for test in suite.tests)),
        skipped=str(sum(test.passed is None for test in suite.tests)),
        time=_seconds(suite.took_ns),
    )
    properties = ET.SubElement(element, "properties")
    for label, value in [*suite.properties, ("machine", suite.machine)]:
        ET.SubElement(properties, "property", name=label, value=value)
    for test in suite.tests:
        case = ET.SubElement(element, "testcase", classname=f"oomctl.{suite.name}", name=test.name)
        if test.passed is None:
            ET.SubElement(case, "skipped", message=test.why)
        elif not test.passed:
            ET.SubElement(case, "failure", type=suite.failure, message=test.why)
    return element


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.9f}"
