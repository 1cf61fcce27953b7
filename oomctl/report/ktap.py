"""An outcome, or runs of many, as KTAP 1 (the kernel's Documentation/dev-tools/ktap.rst)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.oom.outcome import CallReport, Check, Outcome
from oomctl.report.run_parts import rate, title
from oomctl.report.testcases import expectations, over_rounds
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import Statistics
from oomctl.text import printable

_INDENT: Final = "  "


def render(outcome: Outcome) -> str:
    """Return a test for each declaration, with a subtest for each of its expectations."""
    remarks = [f"note: {remark}" for remark in outcome_notes(outcome)]
    lines = [*head(len(outcome.calls), machine_line(outcome.environment), *remarks)]
    for number, declared in enumerate(outcome.calls, 1):
        lines += _test(number, declared)
    return text(lines)


def render_runs(sections: Sequence[Section]) -> str:
    """Return a test for each variant of each run, with a subtest for each expectation.

    What a kernel or machine cannot do is skipped.
    """
    runs = [(section.run, one) for section in sections for one in section.run.statistics]
    lines = [*head(len(runs), *(machine_line(run.header.environment) for run, _one in runs))]
    for number, (run, one) in enumerate(runs, 1):
        lines += _variant(number, run, one)
    return text(lines)


def text(lines: Iterable[str]) -> str:
    """Return lines as they are printed: no name and no remark can break out of its own."""
    return "".join(f"{printable(line)}\n" for line in lines)


def head(tests: int, *remarks: str) -> Iterator[str]:
    """Begin a report of so many tests; a remark that comes again is made once."""
    yield "KTAP version 1"
    yield from (f"# {remark}" for remark in dict.fromkeys(remarks))
    yield f"1..{tests}"


def subtests(name: str, count: int) -> Iterator[str]:
    """Begin the subtests of a test, each line of which is to be indented."""
    yield "KTAP version 1"
    yield f"# Subtest: {plain(name)}"
    yield f"1..{count}"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Move lines to where subtests stand."""
    return (f"{_INDENT}{line}" for line in lines)


def result(number: int, test: Check) -> str:
    """Return the line of a result; what could not be tested is skipped, with the reason."""
    skip = f" # SKIP {test.why}" if test.passed is None else ""
    return f"{'not ok' if test.passed is False else 'ok'} {number} {plain(test.name)}{skip}"


def plain(name: str) -> str:
    """Return a name without what begins a directive."""
    return name.replace("#", "_")


def _variant(number: int, run: Run, one: Statistics) -> Iterator[str]:
    name = title(run, one)
    if run.end and run.end.why == "unsupported":
        yield result(number, Check(name, None, run.end.reason))
        return
    notes = [("rounds", rate(one))]
    notes += [("verdict", f"{name} {count}") for name, count in one.verdicts.items()]
    if run.end and run.end.why != "done":
        notes.append((run.end.why, run.end.reason))
    yield from _parent(
        number, name, over_rounds(one), [*notes, *(("note", r) for r in run.remarks)]
    )


def _test(number: int, declared: CallReport) -> Iterator[str]:
    name = f"declaration {number}"
    yield from _parent(number, name, expectations(declared), call_rows(declared))


def _parent(
    number: int, name: str, tests: Sequence[Check], notes: Iterable[tuple[str, str]]
) -> Iterator[str]:
    yield from indented(subtests(name, len(tests)))
    for index, test in enumerate(tests, 1):
        yield from indented([f"# {test.why}", result(index, test)])
    yield from (f"# {label}: {note}" for label, note in notes)
    yield result(number, Check(name, all(test.passed is not False for test in tests)))
