"""The case table as CSV: a line for each case."""

import csv
import io
from collections.abc import Iterator, Sequence

from oomctl.report.casetable import CaseRow, CaseTable, Writer
from oomctl.text import printable


class CsvWriter(Writer):
    """A header, and a line for each case as it comes; what is not known is empty."""

    def begin(self, table: CaseTable) -> Iterator[str]:
        """Write the header."""
        yield _line(["path", "status", "duration_s", "number", "unit", "log"])

    def row(self, row: CaseRow) -> Iterator[str]:
        """Write a case."""
        duration = "" if row.took_ns is None else f"{row.took_ns / 1e9:.9f}"
        number = "" if row.number is None else f"{row.number:.15g}"
        log = "; ".join(map(printable, row.log or (row.why,)))
        yield _line([row.path, row.status, duration, number, row.unit, log])


def _line(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()
