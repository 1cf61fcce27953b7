"""What LAVA reads: signals on the console, or the result file of Linaro's test-definitions.

The signals are what LAVA's helpers lava-test-set and lava-test-case print; the lines are what
automated/utils/send-to-lava.sh turns into them. Names and units are one word each.
"""

from collections.abc import Iterator

from oomctl.report.casetable import CaseRow, CaseTable, Writer, decimal


class _Sets(Writer):
    """A test set for each group, a test case for each case."""

    def begin(self, table: CaseTable) -> Iterator[str]:
        """Write nothing; the set begins with its first case."""
        self._open = ""
        return iter(())

    def row(self, row: CaseRow) -> Iterator[str]:
        """Write a case, in the set of its group."""
        if row.set_word != self._open:
            yield from self._close()
            self._open = row.set_word
            yield self._start(self._open)
        yield self._case(row)

    def end(self, table: CaseTable) -> Iterator[str]:
        """End the last set."""
        return self._close()

    def _close(self) -> Iterator[str]:
        if self._open:
            yield self._stop

    _stop = ""

    def _start(self, name: str) -> str:
        raise NotImplementedError

    def _case(self, row: CaseRow) -> str:
        raise NotImplementedError


class SignalWriter(_Sets):
    """Signals on the console, as they come."""

    _stop = "<LAVA_SIGNAL_TESTSET STOP>"

    def _start(self, name: str) -> str:
        return f"<LAVA_SIGNAL_TESTSET START {name}>"

    def _case(self, row: CaseRow) -> str:
        more = ""
        if row.measured:
            number, unit = row.measured
            more = f" UNITS={unit} MEASUREMENT={decimal(number)}"
        return f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={row.word} RESULT={row.status}{more}>"


class LineWriter(_Sets):
    """Lines of a result file: a name, a result, a measurement and its unit."""

    _stop = "lava-test-set stop"

    def _start(self, name: str) -> str:
        return f"lava-test-set start {name}"

    def _case(self, row: CaseRow) -> str:
        more = ""
        if row.measured:
            number, unit = row.measured
            more = f" {decimal(number)} {unit}"
        return f"{row.word} {row.status}{more}"
