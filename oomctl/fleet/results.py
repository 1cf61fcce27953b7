"""What the records of a fleet hold, with the host as kernel or variant: what `compare` compares."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oomctl.errors import UsageError
from oomctl.fleet.hosts import Host
from oomctl.rounds.kernels import KernelRecord, KernelsComparison
from oomctl.rounds.record import read_record
from oomctl.smoke.case import Case
from oomctl.smoke.comparison import Comparison, KernelRun
from oomctl.smoke.results import Report, result_of


@dataclass(frozen=True)
class FleetResult:
    """The hosts, and the comparison of their records; None for doctor, which has none."""

    hosts: Sequence[Host]
    comparison: Comparison | KernelsComparison | None = None


def of_suite(hosts: Sequence[Host], records: Sequence[Path], chosen: Sequence[Case]) -> FleetResult:
    """Return the results of `oomctl smoke`."""
    runs = []
    for host, path in _recorded(hosts, records):
        error = host.reason if host.phase != "done" else ""
        runs.append(KernelRun(host.name, _suite(path, chosen), error))
    return FleetResult(hosts, Comparison(tuple(chosen), tuple(runs)) if runs else None)


def _suite(path: Path, chosen: Sequence[Case]) -> Report:
    """Read a record of the suite up to where it was cut."""
    environment: dict[str, Any] = {}
    results = []
    with suppress(ValueError, KeyError, TypeError), path.open("rb") as lines:
        for text in lines:
            line = json.loads(text)
            if line["kind"] == "suite":
                environment = line["environment"]
            elif line["kind"] == "case":
                results.append(result_of(line))
    return Report(environment, tuple(chosen), tuple(results))


def of_rounds(hosts: Sequence[Host], records: Sequence[Path]) -> FleetResult:
    """Return the rounds of `oomctl run` and `oomctl declare`."""
    found = []
    for host, path in _recorded(hosts, records):
        error = host.reason if host.phase != "done" else ""
        try:
            sections = read_record(path)
        except UsageError as unreadable:
            sections, error = [], error or str(unreadable)
        found.append(KernelRecord(host.name, host.code, sections, error))
    return FleetResult(hosts, KernelsComparison(found) if found else None)


def _recorded(hosts: Sequence[Host], records: Sequence[Path]) -> Iterator[tuple[Host, Path]]:
    """Yield the hosts that have sent anything, with their records."""
    yield from (each for each in zip(hosts, records, strict=True) if each[0].size)
