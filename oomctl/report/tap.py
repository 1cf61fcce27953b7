"""TAP 13, flat: a test for each case. Harnesses that do not read subtests see every case so."""

from collections.abc import Iterator

from oomctl.report.casetable import CaseRow, CaseTable, Writer
from oomctl.report.ktap import result


class TapWriter(Writer):
    """A line for each case, after what explains it."""

    def begin(self, table: CaseTable) -> Iterator[str]:
        """Write version, plan and remarks; equal remarks are written once."""
        self._number = 0
        yield "TAP version 13"
        yield f"1..{table.cases}"
        yield from (f"# {remark}" for remark in dict.fromkeys(table.remarks))

    def row(self, row: CaseRow) -> Iterator[str]:
        """Write what explains a case, and its result."""
        self._number += 1
        yield from (f"# {line}" for line in row.log)
        yield result(self._number, row.status, row.path, row.why)
