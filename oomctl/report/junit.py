"""Test results as JUnit XML: a suite for each call, each variant, or each group of smoke cases."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from oomctl.oom.enums import CaseStatus
from oomctl.report.casetable import CaseGroup, CaseTable, Writer
from oomctl.text import printable


class JunitWriter(Writer):
    """One document, when all rows are there; a suite is a group."""

    def end(self, table: CaseTable) -> Iterator[str]:
        """Write the document."""
        root = ET.Element("testsuites", name=f"oomctl {table.command}")
        for group in table.groups:
            root.append(_suite(group))
            if table.command != "smoke":
                output = "\n".join([*map(printable, group.log), *group.notes]).strip()
                ET.SubElement(root[-1], "system-out").text = output
        for total in ("tests", "failures", "errors", "skipped"):
            root.set(total, str(sum(int(suite.get(total, 0)) for suite in root)))
        for element in root.iter():
            element.text = _clean(element.text) if element.text else None
            element.attrib.update({key: _clean(value) for key, value in element.attrib.items()})
        ET.indent(root)
        yield '<?xml version="1.0" encoding="UTF-8"?>'
        yield from ET.tostring(root, encoding="unicode").split("\n")


def _clean(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _suite(group: CaseGroup) -> ET.Element:
    element = ET.Element(
        "testsuite",
        name=group.name,
        tests=str(len(group.rows)),
        errors="0",
        failures=str(sum(row.status == CaseStatus.FAIL for row in group.rows)),
        skipped=str(sum(row.status == CaseStatus.SKIP for row in group.rows)),
        time=_seconds(group.took_ns),
    )
    properties = ET.SubElement(element, "properties")
    for label, value in [*group.properties, ("machine", group.machine)]:
        ET.SubElement(properties, "property", name=label, value=value)
    for row in group.rows:
        case = ET.SubElement(element, "testcase", classname=f"oomctl.{group.name}", name=row.name)
        if row.took_ns is not None:
            case.set("time", _seconds(row.took_ns))
        if row.status == CaseStatus.SKIP:
            ET.SubElement(case, "skipped", message=row.why)
        elif row.status == CaseStatus.FAIL:
            failure = ET.SubElement(case, "failure", type=group.failure, message=row.why)
            if row.log != (row.why,):
                failure.text = "\n".join(map(printable, row.log))
    return element


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.9f}"
