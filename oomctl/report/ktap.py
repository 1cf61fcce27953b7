"""Test results as KTAP 1 (the kernel's Documentation/dev-tools/ktap.rst)."""

from collections.abc import Iterable, Iterator, Sequence

from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.oom.outcome import Check, Outcome
from oomctl.report.testcases import Suite, call_suites, run_suites
from oomctl.rounds.run import Section
from oomctl.text import printable


def render(outcome: Outcome) -> str:
    """Return a test for each call, with a subtest for each of its expectations."""
    notes = (f"note: {note}" for note in outcome_notes(outcome))
    return _document(call_suites(outcome), machine_line(outcome.environment), *notes)


def render_runs(sections: Sequence[Section]) -> str:
    """Return a test for each variant of each run, with a subtest for each expectation."""
    suites = run_suites(sections)
    notes = (f"note: {note}" for suite in suites for note in suite.notes)
    return _document(suites, *(suite.machine for suite in suites), *notes)


def _document(suites: Sequence[Suite], *remarks: str) -> str:
    tests = (line for number, suite in enumerate(suites, 1) for line in _test(number, suite))
    return text([*head(len(suites), *remarks), *tests])


def _test(number: int, suite: Suite) -> Iterator[str]:
    if suite.skip:
        yield result(number, Check(suite.name, None, suite.skip))
        return
    yield from indented(subtests(suite.name, len(suite.tests)))
    for index, test in enumerate(suite.tests, 1):
        yield from indented([f"# {test.why}", result(index, test)])
    yield from (f"# {label}: {value}" for label, value in suite.properties)
    passed = all(test.passed is not False for test in suite.tests)
    yield result(number, Check(suite.name, passed))


def text(lines: Iterable[str]) -> str:
    """Return lines as they are printed: no name and no remark can break out of its own line."""
    return "".join(f"{printable(line)}\n" for line in lines)


def head(tests: int, *remarks: str) -> Iterator[str]:
    """Begin a report of that number of tests; equal remarks are written once."""
    yield "KTAP version 1"
    yield from (f"# {remark}" for remark in dict.fromkeys(remarks))
    yield f"1..{tests}"


def subtests(name: str, count: int) -> Iterator[str]:
    """Begin the subtests of a test; each of their lines is to be indented."""
    yield "KTAP version 1"
    yield f"# Subtest: {_plain(name)}"
    yield f"1..{count}"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Indent lines of subtests."""
    return (f"  {line}" for line in lines)


def result(number: int, test: Check) -> str:
    """Return the line of a result; a test that could not be made is skipped, with the reason."""
    skip = f" # SKIP {test.why}" if test.passed is None else ""
    return f"{'not ok' if test.passed is False else 'ok'} {number} {_plain(test.name)}{skip}"


def _plain(name: str) -> str:
    """Return a name without the character that begins a directive."""
    return name.replace("#", "_")
