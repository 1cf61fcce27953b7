"""KTAP 1 (the kernel's Documentation/dev-tools/ktap.rst): groups as tests, cases as subtests."""

from collections.abc import Iterable, Iterator

from oomctl.oom.enums import CaseStatus
from oomctl.report.casetable import CaseGroup, CaseRow, CaseTable, Writer, overall


class KtapWriter(Writer):
    """A test for each group, with a subtest for each of its cases."""

    def begin(self, table: CaseTable) -> Iterator[str]:
        """Write version, remarks and plan; equal remarks are written once."""
        self._groups = iter(enumerate(table.groups, 1))
        self._rows: list[CaseRow] = []
        yield "KTAP version 1"
        yield from (f"# {remark}" for remark in dict.fromkeys(table.remarks))
        yield f"1..{len(table.groups)}"

    def row(self, row: CaseRow) -> Iterator[str]:
        """Write a subtest, and before the first and after the last the lines of their group."""
        if not self._rows:
            self._number, self._group = next(self._groups)
        self._rows.append(row)
        if not self._group.skip:
            lines = [f"# {line}" for line in row.log]
            if len(self._rows) == 1:
                lines = [*_head(self._group), *lines]
            lines.append(result(len(self._rows), row.status, row.name, row.why))
            yield from (f"  {line}" for line in lines)
        if len(self._rows) == self._group.cases:
            yield from self._end_of_group()

    def end(self, table: CaseTable) -> Iterable[str]:
        """Write the counts for people; kunit.py does not print them."""
        return (f"# {table.summary}",) if table.summary else ()

    def _end_of_group(self) -> Iterator[str]:
        if not self._group.skip:
            yield from (f"# {label}: {value}" for label, value in self._group.properties)
        why = "; ".join(dict.fromkeys(row.why for row in self._rows))
        status = overall(row.status for row in self._rows)
        yield result(self._number, status, self._group.name, why)
        self._rows = []


def _head(group: CaseGroup) -> Iterator[str]:
    yield "KTAP version 1"
    yield f"# Subtest: {_plain(group.name)}"
    yield f"1..{group.cases}"


def result(number: int, status: CaseStatus, name: str, why: str) -> str:
    """Return the line of a result; a case that could not be tested is skipped, with the reason."""
    skip = f" # SKIP {why}" if status == CaseStatus.SKIP else ""
    return f"{'not ok' if status == CaseStatus.FAIL else 'ok'} {number} {_plain(name)}{skip}"


def _plain(name: str) -> str:
    """Return a name without the character that begins a directive."""
    return name.replace("#", "_")
