"""An outcome, or runs of many, as KTAP 1 (the kernel's Documentation/dev-tools/ktap.rst)."""

from collections.abc import Iterable, Iterator, Sequence

from oomctl.check import Check
from oomctl.outcome import Declared, Outcome
from oomctl.report import cells, rows
from oomctl.report.expectation import expectations, over_rounds
from oomctl.stress.run import Run, Section
from oomctl.stress.statistics import Statistics
from oomctl.text import printable


def render(outcome: Outcome) -> str:
    """Return a test for each declaration, with a subtest for each of its expectations."""
    lines = ["KTAP version 1", f"# {rows.environment_line(outcome)}"]
    lines += [f"# note: {remark}" for remark in rows.remarks(outcome)]
    lines.append(f"1..{len(outcome.declared)}")
    for number, declared in enumerate(outcome.declared, 1):
        lines += _test(number, declared)
    return "".join(f"{printable(line)}\n" for line in lines)


def render_runs(sections: Sequence[Section]) -> str:
    """Return a test for each variant of each run, with a subtest for each expectation.

    What a kernel or machine cannot do is skipped.
    """
    runs = [(section.run, one) for section in sections for one in section.run.statistics]
    lines = ["KTAP version 1"]
    lines += dict.fromkeys(f"# {cells.machine(run.head.environment)}" for run, _one in runs)
    lines.append(f"1..{len(runs)}")
    for number, (run, one) in enumerate(runs, 1):
        lines += _variant(number, run, one)
    return "".join(f"{printable(line)}\n" for line in lines)


def _variant(number: int, run: Run, one: Statistics) -> Iterator[str]:
    name = cells.title(run, one)
    if run.end and run.end.why == "unsupported":
        yield _result(number, Check(name, None, run.end.reason))
        return
    notes = [("rounds", cells.rate(one))]
    notes += [("verdict", f"{name} {count}") for name, count in one.verdicts.items()]
    if run.end and run.end.why != "done":
        notes.append((run.end.why, run.end.reason))
    yield from _parent(
        number, name, over_rounds(one), [*notes, *(("note", r) for r in run.remarks)]
    )


def _test(number: int, declared: Declared) -> Iterator[str]:
    name = f"declaration {number}"
    yield from _parent(number, name, expectations(declared), rows.call_rows(declared))


def _parent(
    number: int, name: str, subtests: Sequence[Check], notes: Iterable[tuple[str, str]]
) -> Iterator[str]:
    yield "  KTAP version 1"
    yield f"  # Subtest: {_plain(name)}"
    yield f"  1..{len(subtests)}"
    for index, subtest in enumerate(subtests, 1):
        yield f"  # {subtest.why}"
        yield f"  {_result(index, subtest)}"
    yield from (f"# {label}: {text}" for label, text in notes)
    passed = all(subtest.passed is not False for subtest in subtests)
    yield _result(number, Check(name, passed))


def _result(number: int, test: Check) -> str:
    skip = f" # SKIP {test.why}" if test.passed is None else ""
    return f"{'not ok' if test.passed is False else 'ok'} {number} {_plain(test.name)}{skip}"


def _plain(name: str) -> str:
    """Return a name without what begins a directive."""
    return name.replace("#", "_")
