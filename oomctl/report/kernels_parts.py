"""Rounds on several kernels, side by side: a table for people, JSON with the full results."""

import json
from collections.abc import Iterator
from dataclasses import replace

from oomctl import commandline
from oomctl.describe.machine_text import machine_line
from oomctl.oom.as_json import SCHEMA
from oomctl.report.comparison_parts import difference_text
from oomctl.report.json_forms import render_runs
from oomctl.report.parts import Heading, Lines, Part, as_markdown, as_text
from oomctl.report.rows import as_csv
from oomctl.report.run_parts import side_by_side
from oomctl.rounds.kernels import KernelRecord, KernelsComparison
from oomctl.rounds.statistics import Statistics


def render_text(comparison: KernelsComparison, terminal: int | None = None) -> str:
    """Return the kernels, what differs from the first one, and each variant side by side."""
    return as_text(parts(comparison), terminal=terminal)


def render_markdown(comparison: KernelsComparison) -> str:
    """Return the same as Markdown."""
    return as_markdown(parts(comparison))


def render_csv(comparison: KernelsComparison) -> str:
    """Return a row for each verdict of each variant on each kernel."""
    return as_csv(
        {
            "kernel": one.name,
            "scenario": section.run.header.scenario,
            "variant": each.variant,
            "rounds": each.rounds,
            "held": each.held,
            "verdict": verdict,
            "verdict_rounds": number,
            "reason": each.reasons.get(verdict),
        }
        for one in comparison.kernels
        for section in one.sections
        for each in section.run.statistics
        for verdict, number in each.verdicts.items()
    )


def render_json(comparison: KernelsComparison) -> str:
    """Return the full results of each kernel, and what differs (run-schema.json, $defs/kernels)."""
    tree = {
        "schema": SCHEMA,
        "environment": commandline.origin(),
        "kernels": [
            {
                "kernel": one.name,
                "status": one.status,
                "error": one.error or None,
                "runs": json.loads(render_runs(one.sections))["runs"],
            }
            for one in comparison.kernels
        ],
        "differences": [
            {
                "kernel": each.kernel.name,
                "variant": each.pair.name,
                "what": each.difference.what,
                "first": {"count": each.difference.a.count, "of": each.difference.a.of},
                "here": {"count": each.difference.b.count, "of": each.difference.b.of},
                "chance": each.difference.chance,
            }
            for each in comparison.differences
        ],
    }
    return json.dumps(tree, indent=2) + "\n"


def parts(comparison: KernelsComparison) -> Iterator[Part]:
    """Yield the comparison as parts."""
    lines = []
    for one in comparison.kernels:
        lines.append(("kernel", f"{one.name}: {machine_of(one)}"))
        lines += [("error", f"{one.name}: {one.error}")] if one.error else []
    yield Lines(lines)
    if len(comparison.recorded) > 1:
        yield Lines([*differences(comparison)])
    for name, found in by_variant(comparison).items():
        yield Heading(name)
        yield from of_variant(found)


def of_variant(found: list[Statistics]) -> Iterator[Part]:
    """Yield a variant on each kernel."""
    yield from side_by_side(found)
    yield Lines([*_reasons(found)])


def machine_of(one: KernelRecord) -> str:
    """Return the kernel of a record in words."""
    return machine_line(one.sections[0].run.header.environment) if one.sections else "-"


def differences(comparison: KernelsComparison) -> Iterator[tuple[str, str]]:
    """Yield what differs from the first kernel."""
    for each in comparison.differences:
        text = difference_text(each.difference)
        yield "differs", f"{each.pair.name}: {text} on {each.kernel.name}"
    if not comparison.differences:
        yield "same", "verdicts, victims, return values and expectations"


def by_variant(comparison: KernelsComparison) -> dict[str, list[Statistics]]:
    """Return the statistics of each variant of each scenario, one for each kernel."""
    found: dict[str, list[Statistics]] = {}
    for one in comparison.recorded:
        for section in one.sections:
            for each in section.run.statistics:
                scenario = section.run.header.scenario
                name = f"{scenario}: {each.variant}" if each.variant else scenario
                found.setdefault(name, []).append(replace(each, variant=one.name))
    return found


def _reasons(found: list[Statistics]) -> Iterator[tuple[str, str]]:
    """Yield each verdict that not all kernels have, in a sentence of each that has it."""
    for verdict in dict.fromkeys(each for one in found for each in one.verdicts):
        if not all(verdict in one.verdicts for one in found):
            for one in found:
                if verdict in one.reasons:
                    yield verdict, f"{one.variant}: {one.reasons[verdict]}"
