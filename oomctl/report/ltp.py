"""What LTP's test programs print, and kirk reads: a line for each case, and the summary."""

from collections.abc import Iterator

from oomctl.oom.enums import CaseStatus
from oomctl.report.casetable import CaseRow, CaseTable, Writer

_WORDS = {CaseStatus.PASS: "TPASS", CaseStatus.FAIL: "TFAIL", CaseStatus.SKIP: "TCONF"}


class LtpWriter(Writer):
    """A line for each case as it comes; kirk counts by the summary."""

    def begin(self, table: CaseTable) -> Iterator[str]:
        """Write the remarks."""
        return (f"oomctl: TINFO: {remark}" for remark in dict.fromkeys(table.remarks))

    def row(self, row: CaseRow) -> Iterator[str]:
        """Write what explains a case, and its result."""
        yield from (f"oomctl: TINFO: {line}" for line in row.log)
        skip = f": {row.why}" if row.status == CaseStatus.SKIP else ""
        yield f"oomctl: {_WORDS[row.status]}: {row.path}{skip}"

    def end(self, table: CaseTable) -> Iterator[str]:
        """Write the counts, in the five lines of LTP's summary."""
        yield from ("", "Summary:")
        yield f"passed   {table.count(CaseStatus.PASS)}"
        yield f"failed   {table.count(CaseStatus.FAIL)}"
        yield "broken   0"
        yield f"skipped  {table.count(CaseStatus.SKIP)}"
        yield "warnings 0"
