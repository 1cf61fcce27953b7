"""The case table: what harnesses read of a declaration, a run or the smoke suite. Pure.

testcases.py fills it; each form that a harness reads is a small `Writer` over it, found by name in
`WRITERS` and imported when it is used.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from oomctl import lazy
from oomctl.oom.enums import CaseStatus
from oomctl.text import printable

WRITERS = {
    "ktap": "report.ktap:KtapWriter",
    "junit": "report.junit:JunitWriter",
    "tap": "report.tap:TapWriter",
    "lava": "report.lava:SignalWriter",
    "lava-lines": "report.lava:LineWriter",
    "kcidb": "report.kcidb:KcidbWriter",
    "tmt": "report.tmt:TmtWriter",
    "ltp": "report.ltp:LtpWriter",
    "csv": "report.csv_rows:CsvWriter",
}


@dataclass(frozen=True)
class CaseRow:
    """One case, in its group. `why` says why it was skipped or what was found, `log` explains it.

    `number`, in `unit`, is what the case measured.
    """

    group: str
    name: str
    status: CaseStatus
    why: str = ""
    log: tuple[str, ...] = ()
    took_ns: int | None = None
    number: float | None = None
    unit: str = ""

    @property
    def set_word(self) -> str:
        """The group in a word of letters, digits, - and _."""
        return _word(self.group)

    @property
    def word(self) -> str:
        """The name in a word of letters, digits, - and _."""
        return _word(self.name)

    @property
    def path(self) -> str:
        """Both words with a dot between them."""
        return f"{self.set_word}.{self.word}"

    @property
    def measured(self) -> tuple[float, str] | None:
        """What it measured and the unit, else how long it took in ms; None if it was skipped."""
        if self.status == CaseStatus.SKIP:
            return None
        if self.number is not None:
            return self.number, self.unit
        return None if self.took_ns is None else (self.took_ns / 1e6, "ms")


@dataclass(frozen=True)
class CaseGroup:
    """The cases of one call, of one variant, or of one group of the suite.

    `cases` is the number of its rows, those included that have not come yet. `failure` is the type
    of a failure, `log` the kernel log. A group with a reason to `skip` has not been run.
    """

    name: str
    cases: int
    rows: tuple[CaseRow, ...]
    machine: str
    failure: str
    took_ns: int = 0
    properties: tuple[tuple[str, str], ...] = ()
    log: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skip: str = ""


@dataclass(frozen=True)
class CaseTable:
    """All cases of a command.

    `remarks` are for the head of a report, `summary` for its end. `started` is the time in ISO
    8601, if it is known.
    """

    command: str
    groups: tuple[CaseGroup, ...]
    remarks: tuple[str, ...] = ()
    summary: str = ""
    started: str = ""

    @property
    def cases(self) -> int:
        """The number of cases, those included that have not come yet."""
        return sum(group.cases for group in self.groups)

    @property
    def rows(self) -> tuple[CaseRow, ...]:
        """Every row, each with a path of its own: the second of a path has -2 after its name."""
        return tuple(row for _group, row in self.placed)

    @property
    def placed(self) -> Iterator[tuple[CaseGroup, CaseRow]]:
        """Every row with its group, each with a path of its own."""
        seen: dict[str, int] = {}
        for group in self.groups:
            for row in group.rows:
                times = seen[row.path] = seen.get(row.path, 0) + 1
                yield group, row if times == 1 else replace(row, name=f"{row.name}-{times}")

    def count(self, status: CaseStatus) -> int:
        """Return the number of rows with a status."""
        return sum(row.status == status for row in self.rows)

    @property
    def status(self) -> CaseStatus:
        """The status of all rows together."""
        return overall(row.status for row in self.rows)


class Writer:
    """Writes a table in a form, piece by piece, so that rows can be written as they come."""

    def begin(self, table: CaseTable) -> Iterable[str]:
        """Return the first lines; the table may lack rows."""
        return ()

    def row(self, row: CaseRow) -> Iterable[str]:
        """Return the lines of the next row."""
        return ()

    def end(self, table: CaseTable) -> Iterable[str]:
        """Return the last lines; the table has all rows."""
        return ()


def writer(form: str) -> Writer:
    """Return the writer of a form."""
    made: Writer = lazy.load(WRITERS[form])()
    return made


def render(form: str, table: CaseTable) -> str:
    """Return a whole table in a form."""
    one = writer(form)
    rows = (line for row in table.rows for line in one.row(row))
    return text([*one.begin(table), *rows, *one.end(table)])


def text(lines: Iterable[str]) -> str:
    """Return lines as they are printed: no name and no remark can break out of its own line."""
    return "".join(f"{printable(line)}\n" for line in lines)


def overall(statuses: Iterable[CaseStatus]) -> CaseStatus:
    """Return the status of cases together: one that failed, else one that passed, decides."""
    found = set(statuses)
    ranked = (CaseStatus.FAIL, CaseStatus.PASS)
    return next((status for status in ranked if status in found), CaseStatus.SKIP)


def status_of(passed: bool | None) -> CaseStatus:
    """Return the status of a check; None is one that could not be made."""
    return {True: CaseStatus.PASS, False: CaseStatus.FAIL, None: CaseStatus.SKIP}[passed]


def decimal(number: float) -> str:
    """Write a number with at most three decimals and without an exponent."""
    return f"{number:.3f}".rstrip("0").rstrip(".")


def _word(name: str) -> str:
    """Return a name as all systems can read it: LAVA wants one word, KCIDB parts it at dots."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "case"
