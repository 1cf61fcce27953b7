"""tmt's results.yaml, for a test with `result: custom`: a result for each group.

Its cases are subresults. Each line is JSON, which is YAML too.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from oomctl.oom.enums import CaseStatus
from oomctl.report.casetable import CaseRow, CaseTable, Writer, overall
from oomctl.text import printable


class TmtWriter(Writer):
    """The test itself, then a result for each group, when all rows are there."""

    def end(self, table: CaseTable) -> Iterator[str]:
        """Write the list."""
        yield _item({"name": "/", "result": table.status, "note": [*map(printable, table.remarks)]})
        groups: dict[str, list[CaseRow]] = {}
        for row in table.rows:
            groups.setdefault(row.set_word, []).append(row)
        for name, rows in groups.items():
            result = {"name": f"/{name}", "result": overall(row.status for row in rows)}
            subresults = [_case(f"/{row.word}", row) for row in rows]
            yield _item(result | {"duration": _duration(rows), "subresult": subresults})


def _case(name: str, row: CaseRow) -> dict[str, Any]:
    explained = row.status != CaseStatus.PASS
    notes = [*map(printable, row.log or (row.why,))] if explained else []
    return {"name": name, "result": row.status, "note": notes, "duration": _duration([row])}


def _duration(rows: Sequence[CaseRow]) -> str:
    seconds = round(sum(row.took_ns or 0 for row in rows) / 1e9)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _item(tree: dict[str, Any]) -> str:
    return f"- {json.dumps(tree)}"
