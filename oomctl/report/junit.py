"""An outcome as JUnit XML, for CI systems: a suite for each declaration."""

import re
from xml.etree import ElementTree as ET

from oomctl.outcome import Declared, Outcome
from oomctl.report import rows
from oomctl.report.expectation import expectations
from oomctl.text import printable

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def render(outcome: Outcome) -> str:
    """Return the document; a test case is one expectation of one declaration."""
    root = ET.Element("testsuites", name="oomctl declare")
    for number, declared in enumerate(outcome.declared, 1):
        root.append(_suite(number, declared, outcome))
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, 0)) for suite in root)))
    for element in root.iter():
        element.text = _clean(element.text) if element.text else None
        element.attrib.update({key: _clean(value) for key, value in element.attrib.items()})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(number: int, declared: Declared, outcome: Outcome) -> ET.Element:
    tests, name = expectations(declared), f"declaration {number}"
    suite = ET.Element("testsuite", name=name, tests=str(len(tests)), errors="0")
    suite.set("failures", str(sum(test.passed is False for test in tests)))
    suite.set("skipped", str(sum(test.passed is None for test in tests)))
    suite.set("time", f"{(declared.answer.duration_ns or 0) / 1e9:.9f}")
    properties = ET.SubElement(suite, "properties")
    for label, text in [*rows.call_rows(declared), ("machine", rows.environment_line(outcome))]:
        ET.SubElement(properties, "property", name=label, value=text)
    for test in tests:
        case = ET.SubElement(suite, "testcase", classname=f"oomctl.{name}", name=test.name)
        if test.passed is None:
            ET.SubElement(case, "skipped", message=test.why)
        elif not test.passed:
            ET.SubElement(case, "failure", type=declared.verdict.name, message=test.why)
    log = "\n".join(printable(record.text) for record in declared.log)
    ET.SubElement(suite, "system-out").text = "\n".join([log, *rows.remarks(outcome)]).strip()
    return suite


def _clean(text: str) -> str:
    return _FORBIDDEN.sub(lambda found: printable(found[0]), text)
