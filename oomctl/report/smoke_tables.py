"""The suite as text: a table of groups or of cases, Markdown, and a list of the cases."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from oomctl.oom.as_json import SCHEMA
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.smoke.case import Case
from oomctl.smoke.results import Report, count
from oomctl.smoke.suite import GROUPS
from oomctl.text import printable
from oomctl.units import format_duration


def markdown(report: Report) -> str:
    """Return a row for each group, then each failure, and what was skipped."""
    about = [("kernel", report.machine), ("result", report.result)]
    made: list[Part] = [Lines(about), _by_group(report)]
    abouts = {case.name: case.about for case in report.cases}
    for one in report.results:
        if one.passed is False:
            lines = [abouts[one.name], *one.diagnostics]
            made += [Heading(f"failed: {one.name}"), Lines([("", line) for line in lines])]
    skipped = [(one.name, one.reason) for one in report.results if one.passed is None]
    return as_markdown([*made, Heading("Skipped"), Lines(skipped)] if skipped else made)


def table(report: Report, verbose: bool = False, width: int | None = None) -> str:
    """Return a row for each group, or for each case, then the failures and the reasons to skip."""
    shown = _by_case(report) if verbose else _by_group(report)
    if width:
        shown = replace(shown, prose={"about": 16})
    parts = [as_text([shown], terminal=width).rstrip("\n")]
    skipped: dict[str, list[str]] = {}
    for one in report.results:
        if one.passed is None:
            skipped.setdefault(one.reason, []).append(one.name)
    parts += [f"skipped: {', '.join(names)}\n  {why}" for why, names in skipped.items()]
    abouts = {case.name: case.about for case in report.cases}
    for one in report.results:
        if one.passed is False:
            lines = [f"FAILED: {one.name} ({abouts[one.name]})", *one.diagnostics]
            parts.append("\n  ".join(map(printable, lines)))
    parts.append(f"{report.machine}\n{report.result}")
    if width:
        parts[1:] = ["\n".join(_wrapped(part, width)) for part in parts[1:]]
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield lines that fit, each continued below its text."""
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(
            line, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        ) or [""]


def _by_group(report: Report) -> Table:
    rows = []
    for group in report.groups:
        results = report.of_group(group)
        counts = [str(number) if number else "-" for number in count(results).values()]
        took = format_duration(sum(one.took_ns for one in results))
        rows.append([group, *counts, took, GROUPS.get(group, "")])
    headers = ["group", "passed", "failed", "skipped", "took", "about"]
    return Table(headers, rows, headers[1:5])


def _by_case(report: Report) -> Table:
    rows = [
        [case.name, one.word, format_duration(one.took_ns) if one.rounds else "-", case.about]
        for case, one in zip(report.cases, report.results, strict=True)
    ]
    headers = ["case", "result", "took", "about"]
    return Table(headers, rows, ("took",), names=("case",))


def listing(cases: Sequence[Case], form: str, width: int | None = None) -> str:
    """Return the cases with what they ask: as JSON, or as text, wrapped at `width` columns.

    Without a width each case is one line, for grep and the like.
    """
    if form in ("json", "jsonl"):
        listed = [{"name": c.name, "group": c.group, "about": c.about} for c in cases]
        if form == "jsonl":
            return "".join(f"{json.dumps(each)}\n" for each in listed)
        return json.dumps({"schema": SCHEMA, "cases": listed}, indent=2) + "\n"
    column = max((len(case.name) for case in cases), default=0) + 2
    lines: list[str] = []
    for group in dict.fromkeys(case.group for case in cases):
        lines += [*([""] if lines else []), f"# {group}: {GROUPS.get(group, '')}"]
        lines += [f"{c.name.ljust(column)}{c.about}" for c in cases if c.group == group]
    if width:
        wrapped = [
            textwrap.wrap(line, width, subsequent_indent=" " * column) or [""] for line in lines
        ]
        lines = [line for each in wrapped for line in each]
    return "".join(f"{line}\n" for line in lines)
