"""The results as a table, as JSON, as a picture, and in docs/performance.md."""

import os
import platform
import re
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.measure import Result
from oomctl import __version__
from oomctl.proc import meminfo
from oomctl.report.parts import Table
from oomctl.units import format_size

_BEGIN, _END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
_LEFT, _WIDTH, _LINE = 300, 1000, 22
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.row{font-weight:bold}.own{fill:#2b6cb0}"
    ".peer{fill:#a0aec0}.span{stroke:#222;stroke-width:1.5}.target{stroke:#c53030;"
    "stroke-width:2;stroke-dasharray:4 3}"
)


def machine() -> str:
    """Return date, machine and versions, on one line."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = found[1] if found else platform.machine()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs ({cpu}), "
        f"{format_size(meminfo.total() >> 30 << 30)}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, oomctl {__version__}"
    )


def table(results: Sequence[Result]) -> Table:
    """Return a row for each way; a target stands at the way that it is about."""
    return Table(
        ["what", "by", "unit", "n", "min", "median", "max", "ratio", "target", "met"],
        [cells for result in results for cells in _cells(result)],
        numbers={"median", "ratio", "target", "n", "min", "max"},
        names={"by"},
    )


def _cells(result: Result) -> Iterator[list[str]]:
    row = result.row
    for way in row.ways:
        costs = result.costs[way.name]
        own, target = way is row.own, result.target_of(way)
        yield [
            row.name if own else "",
            way.name,
            row.unit,
            str(len(costs)),
            f"{min(costs):.4g}",
            f"{statistics.median(costs):.4g}",
            f"{max(costs):.4g}",
            "" if own else f"{result.ratio_to(way):.2f}",
            "" if target is None else f"{target:.4g}" if own else f"{target:.2f}",
            "" if target is None else "yes" if result.met else "no",
        ]


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Return the results with every value."""
    return {
        "schema": 1,
        "machine": machine(),
        "rows": [
            {
                "name": result.row.name,
                "unit": result.row.unit,
                "best_peer": result.best.name,
                "ratio": round(result.ratio, 4),
                "at_most": result.row.at_most,
                "goal": result.row.goal,
                "met": result.met,
                "costs": dict(result.costs),
            }
            for result in results
        ],
    }


def picture(results: Sequence[Result]) -> str:
    """Return an SVG drawing: a bar up to each median, a line from the lowest cost.

    The costs of each row are drawn to the row's own scale; a line shows the target.
    """
    parts: list[str] = []
    y = 0
    for result in results:
        y += _LINE
        parts.append(f'<text class="row" x="8" y="{y + 15}">{escape(result.row.name)}</text>')
        first = y + _LINE
        scale = (_WIDTH - _LEFT - 90) / max(map(statistics.median, result.costs.values()))
        for way in result.row.ways:
            y += _LINE
            costs = result.costs[way.name]
            low, median = min(costs) * scale, statistics.median(costs) * scale
            kind = "own" if way is result.row.own else "peer"
            value = f"{statistics.median(costs):.4g} {result.row.unit}"
            parts += [
                f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(way.name)}</text>',
                f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{median:.1f}" height="16"/>',
                f'<path class="span" d="M{_LEFT + low:.1f} {y + 11}H{_LEFT + median:.1f}"/>',
                f'<text x="{_LEFT + median + 6:.1f}" y="{y + 15}">{escape(value)}</text>',
            ]
        limit = result.row.goal
        if result.row.at_most is not None:
            limit = result.row.at_most * statistics.median(result.costs[result.best.name])
        if limit is not None:
            at = min(_LEFT + limit * scale, _WIDTH - 8)
            parts.append(f'<path class="target" d="M{at:.1f} {first}V{y + _LINE}"/>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + _LINE * 2}">'
        f"<style>{_STYLE}</style>"
    )
    foot = f'<text x="8" y="{y + _LINE * 2 - 6}">{escape(machine())}</text></svg>\n'
    return "\n".join([head, *parts, foot])


def write_page(page: Path, markdown: str) -> None:
    """Replace what stands between the marks of a page."""
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n{machine()}\n\n{markdown}\n{_END}{after}")
