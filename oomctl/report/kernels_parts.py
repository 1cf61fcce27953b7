"""Rounds on several kernels, side by side: a table for people, JSON with the full results."""

import json
from collections.abc import Iterator
from dataclasses import replace

from oomctl.describe.machine_text import machine_line
from oomctl.oom.as_json import SCHEMA
from oomctl.report.comparison_parts import difference_text
from oomctl.report.json_forms import render_runs
from oomctl.report.parts import Heading, Lines, Part, as_text
from oomctl.report.run_parts import side_by_side
from oomctl.rounds.kernels import KernelsComparison
from oomctl.rounds.statistics import Statistics


def render_text(comparison: KernelsComparison, terminal: int | None = None) -> str:
    """Return the kernels, what differs from the first one, and each variant side by side."""
    return as_text(_parts(comparison), terminal=terminal)


def render_json(comparison: KernelsComparison) -> str:
    """Return the full results of each kernel, and what differs (run-schema.json, $defs/kernels)."""
    tree = {
        "schema": SCHEMA,
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


def _parts(comparison: KernelsComparison) -> Iterator[Part]:
    lines = []
    for one in comparison.kernels:
        machine = machine_line(one.sections[0].run.header.environment) if one.sections else "-"
        lines.append(("kernel", f"{one.name}: {machine}"))
        lines += [("error", f"{one.name}: {one.error}")] if one.error else []
    yield Lines(lines)
    if len(comparison.recorded) > 1:
        yield Lines([*_differences(comparison)])
    for name, found in _by_variant(comparison).items():
        yield Heading(name)
        yield from side_by_side(found)
        yield Lines([*_reasons(found)])


def _differences(comparison: KernelsComparison) -> Iterator[tuple[str, str]]:
    for each in comparison.differences:
        text = difference_text(each.difference)
        yield "differs", f"{each.pair.name}: {text} on {each.kernel.name}"
    if not comparison.differences:
        yield "same", "verdicts, victims, return values and expectations"


def _by_variant(comparison: KernelsComparison) -> dict[str, list[Statistics]]:
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
