"""KCIDB's submission format, schema 5.3: a test for each case.

A submitter replaces `origin` and `build_id` by its own; `_:` begins the id of a build that is not
in the database. The ids follow from the results, so that the same record has the same ids.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from oomctl.oom.enums import CaseStatus
from oomctl.report.casetable import CaseGroup, CaseRow, CaseTable, Writer
from oomctl.text import printable

_ORIGIN, _BUILD = "oomctl", "_:oomctl"
_EXCERPT = 16384  # characters, the most that the schema allows


class KcidbWriter(Writer):
    """One JSON object, when all rows are there."""

    def end(self, table: CaseTable) -> Iterator[str]:
        """Write the object."""
        placed = list(table.placed)
        key = hashlib.sha256(repr((table.started, placed)).encode()).hexdigest()[:16]
        tests = [
            {"id": f"{_ORIGIN}:{key}-{number}"} | _test(table, group, row)
            for number, (group, row) in enumerate(placed, 1)
        ]
        tree = {"version": {"major": 5, "minor": 3}, "tests": tests}
        yield from json.dumps(tree, indent=2).split("\n")


def _test(table: CaseTable, group: CaseGroup, row: CaseRow) -> dict[str, Any]:
    test: dict[str, Any] = {
        "origin": _ORIGIN,
        "build_id": _BUILD,
        "path": f"oomctl.{table.command}.{row.path}",
        "comment": printable(f"{row.group}: {row.name}"),
        "status": row.status.upper(),
        "environment": {"comment": printable(group.machine)},
    }
    if table.started:
        test["start_time"] = table.started
    if row.took_ns is not None:
        test["duration"] = row.took_ns / 1e9
    if row.number is not None and row.status != CaseStatus.SKIP:
        test["number"] = {"value": row.number, "unit": row.unit}
    lines = list(row.log or filter(None, (row.why,)))
    if row.status == CaseStatus.FAIL:
        lines += [*(f"{label}: {value}" for label, value in group.properties), *group.log]
    if lines:
        test["log_excerpt"] = "\n".join(map(printable, lines))[:_EXCERPT]
    return test
