"""The hosts of a fleet in their forms: a table for people, JSON with the full results."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from oomctl import commandline
from oomctl.fleet.hosts import Host
from oomctl.fleet.results import FleetResult
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.enums import HostPhase
from oomctl.report import kernels_parts, smoke_comparison
from oomctl.report.parts import Lines, Part, Table, as_markdown, as_text
from oomctl.report.rows import as_csv
from oomctl.smoke.comparison import Comparison

IN_SUITE = ("passed", "failed", "skipped")
"""What the numbers of a group of cases count, in their order."""


def render_text(result: FleetResult, terminal: int | None = None) -> str:
    """Return the hosts, what they say, and the comparison of their records."""
    return as_text(_parts(result), terminal=terminal)


def render_markdown(result: FleetResult) -> str:
    """Return the same as Markdown."""
    return as_markdown(_parts(result))


def render_csv(result: FleetResult) -> str:
    """Return a row for each host."""
    return as_csv(map(_host, result.hosts))


def _parts(result: FleetResult) -> Iterator[Part]:
    yield hosts_table(result.hosts)
    yield Lines([*_remarks(result.hosts)])
    if isinstance(result.comparison, Comparison):
        yield from smoke_comparison.parts(result.comparison)
    elif result.comparison:
        yield from kernels_parts.parts(result.comparison)


def hosts_table(hosts: Iterable[Host]) -> Table:
    """Return a row for each host, with its results by group: passed/failed/skipped, or words."""
    hosts = [*hosts]
    groups = [*dict.fromkeys(group for host in hosts for group in host.counts)]
    rows = [
        [host.name, host.phase, host.kernel or "-", *(cell(host, group) for group in groups)]
        for host in hosts
    ]
    return Table(["host", "state", "kernel", *groups], rows, names=["host", "kernel"], folds=True)


def cell(host: Host, group: str) -> str:
    """Return what a host has counted of a group."""
    counts = host.counts.get(group)
    if not counts:
        return "-"
    if {*counts} <= {*IN_SUITE}:
        return "/".join(str(counts.get(word, 0)) for word in IN_SUITE)
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def _remarks(hosts: Sequence[Host]) -> Iterator[tuple[str, str]]:
    """Yield why hosts have no result, or not all; the same reason once, with its hosts."""
    by_text: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        for label, text in (("reason", host.reason), ("left", host.left)):
            by_text.setdefault((label, text), []).append(host.name)
    for (label, text), names in by_text.items():
        if text:
            yield label, f"{text} ({', '.join(names)})"
    for host in hosts:
        yield from (("log", f"{host.name}: {line}") for line in host.log)


def render_json(result: FleetResult) -> str:
    """Return the hosts, and the full results of each (fleet-schema.json)."""
    render: Callable[..., str] = kernels_parts.render_json
    if isinstance(result.comparison, Comparison):
        render = smoke_comparison.render_json
    tree = {
        "schema": SCHEMA,
        "environment": commandline.origin(),
        "hosts": [*map(_host, result.hosts)],
        "comparison": json.loads(render(result.comparison)) if result.comparison else None,
    }
    return json.dumps(tree, indent=2) + "\n"


def _host(host: Host) -> dict[str, Any]:
    return {
        "host": host.name,
        "state": host.phase,
        "exit": host.code,
        "reason": host.reason or None,
        "kernel": host.kernel or None,
        "begun": host.begun or None,
        "counts": host.counts,
        "record_bytes": host.size,
        "log": list(host.log),
        "left": host.left or None,
    }


def read_host(tree: Mapping[str, Any]) -> Host:
    """Read a host of render_json() back."""
    return Host(
        tree["host"],
        HostPhase(tree["state"]),
        tree["exit"],
        tree["reason"] or "",
        tree["kernel"] or "",
        begun=tree["begun"] or "",
        counts=tree["counts"],
        size=tree["record_bytes"],
        log=tuple(tree["log"]),
        left=tree["left"] or "",
    )
