"""An outcome as KTAP 1, the kernel's test protocol (Documentation/dev-tools/ktap.rst)."""

from collections.abc import Iterator

from oomctl.outcome import Declared, Outcome
from oomctl.report import rows
from oomctl.check import Check
from oomctl.report.expectation import expectations
from oomctl.text import printable


def render(outcome: Outcome) -> str:
    """Return a test for each declaration, with a subtest for each of its expectations."""
    lines = ["KTAP version 1", f"# {rows.environment_line(outcome)}"]
    lines += [f"# note: {remark}" for remark in rows.remarks(outcome)]
    lines.append(f"1..{len(outcome.declared)}")
    for number, declared in enumerate(outcome.declared, 1):
        lines += _test(number, declared)
    return "".join(f"{printable(line)}\n" for line in lines)


def _test(number: int, declared: Declared) -> Iterator[str]:
    name, subtests = f"declaration {number}", expectations(declared)
    yield "  KTAP version 1"
    yield f"  # Subtest: {name}"
    yield f"  1..{len(subtests)}"
    for index, subtest in enumerate(subtests, 1):
        yield f"  # {subtest.why}"
        yield f"  {_result(index, subtest)}"
    yield from (f"# {label}: {text}" for label, text in rows.call_rows(declared))
    passed = all(subtest.passed is not False for subtest in subtests)
    yield _result(number, Check(name, passed))


def _result(number: int, test: Check) -> str:
    skip = f" # SKIP {test.why}" if test.passed is None else ""
    return f"{'not ok' if test.passed is False else 'ok'} {number} {test.name}{skip}"
