"""Results that oomctl has saved: a file is read back into what its renderers take."""

import gzip
import json
import re
import traceback
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from oomctl import console
from oomctl.errors import UsageError
from oomctl.files.infile import open_input
from oomctl.fleet.results import FleetResult
from oomctl.oom import from_json
from oomctl.oom.as_json import SCHEMA
from oomctl.report import comparison_json, explanation_json, prediction_json
from oomctl.report.fleet_parts import read_host
from oomctl.report.json_forms import read_examination
from oomctl.report.kills_saved import read_json
from oomctl.rounds.kernels import KernelRecord, KernelsComparison
from oomctl.rounds.reader import MALFORMED, parse, read_runs
from oomctl.rounds.record import first_line, read_sections
from oomctl.rounds.run import Section
from oomctl.smoke.case import Case
from oomctl.smoke.comparison import Comparison, KernelRun
from oomctl.smoke.results import Report, result_of
from oomctl.text import cut

_HINT = "give a file that oomctl wrote: a record, -f json, or -f jsonl of run, smoke or watch"
_GZIP = b"\x1f\x8b"
_LARGEST = 1 << 30
_OBJECT = re.compile(rb'\s*\{\s*"')


class Kind(StrEnum):
    """What a file holds, in the plural."""

    OUTCOMES = "declarations"
    ROUNDS = "rounds"
    SUITES = "results of the suite"
    KILLS = "kills"
    COMPARISONS = "comparisons"
    PREDICTIONS = "predictions"
    EXPLANATIONS = "explained reports"
    EXAMINATIONS = "results of doctor"
    KERNELS = "rounds on several kernels"
    KERNEL_SUITES = "the suite on several kernels"
    FLEETS = "results of a fleet"
    HUNTS = "results of fuzz"


@dataclass(frozen=True)
class Saved:
    """What files hold, all of one kind, in their order: of each result what its renderers take.

    `origins` say where, when and by which command each was made, if the result is not told that by
    its own environment.
    """

    kind: Kind
    results: tuple[tuple[Any, ...], ...]
    names: tuple[str, ...] = field(default=(), compare=False)
    origins: tuple[Mapping[str, str], ...] = ()

    def __add__(self, other: "Saved") -> "Saved":
        return Saved(
            self.kind,
            self.results + other.results,
            self.names + other.names,
            self.origins + other.origins,
        )


def read_all(first: Path, *others: Path) -> Saved:
    """Read files of one kind; UsageError if one cannot be read, or is of another kind."""
    found = read(first)
    for path in others:
        one = read(path)
        if found.kind != one.kind:
            raise UsageError(
                f"{path} holds {one.kind}, {found.names[0]} holds {found.kind}",
                "report them one after the other",
            )
        found += one
    return found


def read(path: Path) -> Saved:
    """Read one file; UsageError if it is nothing that oomctl has saved."""
    try:
        with open_input(path) as file:
            if not file.peek(len(_GZIP)).startswith(_GZIP):
                return _read(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(cast(BinaryIO, unpacked), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}: is damaged, or cut short: {error}", "copy it again") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", _HINT) from error


def _read(file: BinaryIO, path: Path) -> Saved:
    name = "stdin" if str(path) == "-" else path.name
    with telling_malformed(str(path)):
        return _read_known(file, path, name)


@contextmanager
def telling_malformed(name: str) -> Iterator[None]:
    """Raise UsageError if a result is not as oomctl writes it, wherever that shows."""
    try:
        yield
    except (*MALFORMED, IndexError, ZeroDivisionError) as error:
        for line in traceback.format_exc().splitlines():
            console.detail(line)
        what = f"lacks {error}" if isinstance(error, KeyError) else f"has {error}"
        raise UsageError(f"{name}: is not as oomctl writes it: {cut(what)}", _HINT) from error


def _read_known(file: BinaryIO, path: Path, name: str) -> Saved:
    first = first_line(file, path, _LARGEST)
    line = parse(first, f"{path}: line 1")
    if line is None:  # that of an object which is indented may be the brace alone
        first += file.readline(_LARGEST)
    match line and line.get("kind"):
        case "suite":
            suites = _suites(_lines(chain([first], file), path))
            return Saved(Kind.SUITES, tuple((each,) for each in suites), (name,))
        case "kill" | "summary":
            return _kills([*_lines(chain([first], file), path)], name)
        case None if _OBJECT.match(first):
            rest = file.read(_LARGEST)
            is_one_line = line and not rest.strip()
            tree = line if is_one_line else parse(first + rest, str(path))
            return _whole(tree, path, name)
    sections = tuple(read_sections(file, path, first))
    for remark in (remark for section in sections for remark in section.run.remarks):
        console.note(f"{path}: {remark}")
    return Saved(Kind.ROUNDS, tuple((each,) for each in sections), (name,))


def _lines(file: Iterable[bytes], path: Path) -> Iterator[dict[str, Any]]:
    """Yield each line; half a line at the end is left out."""
    for number, text in enumerate(file, 1):
        line = parse(text, f"{path}: line {number}")
        if line is None and text.endswith(b"\n"):
            raise UsageError(f"{path}: line {number} is not JSON", _HINT)
        if line is not None:
            yield line


def _whole(tree: Mapping[str, Any] | None, path: Path, name: str) -> Saved:
    if tree is None:
        raise UsageError(f"{path}: is not one JSON object", _HINT)
    if "schema" not in tree:
        raise UsageError(f"{path}: is no result of oomctl", _HINT)
    if tree["schema"] != SCHEMA:
        raise UsageError(
            f"{path}: has schema {tree['schema']}, this oomctl knows {SCHEMA}",
            "read it with the oomctl that wrote it",
        )
    kind, results = _of_tree(tree, path)
    origin = {key: str(tree.get("environment", {}).get(key)) for key in ("host", "command", "time")}
    return Saved(kind, results, (name,), (origin,) * len(results))


def _of_tree(tree: Mapping[str, Any], path: Path) -> tuple[Kind, tuple[tuple[Any, ...], ...]]:
    """Return what a whole result holds."""
    keys = tree.keys()
    if keys >= {"calls", "tasks"}:
        return Kind.OUTCOMES, ((from_json.outcome(tree),),)
    if "runs" in keys:
        return Kind.ROUNDS, tuple((each,) for each in _sections(tree["runs"], path))
    if keys >= {"cases", "counts"}:
        return Kind.SUITES, ((_suite(tree["environment"], tree["cases"]),),)
    if "pairs" in keys:
        return Kind.COMPARISONS, (comparison_json.read(tree),)
    if keys >= {"candidates", "target"}:
        return Kind.PREDICTIONS, (prediction_json.read(tree),)
    if keys >= {"reports", "source"}:
        return Kind.EXPLANATIONS, (explanation_json.read(tree),)
    if keys >= {"checks", "fit"}:
        return Kind.EXAMINATIONS, ((read_examination(tree),),)
    if "coverage" in keys:
        return Kind.HUNTS, ((tree,),)
    if "hosts" in keys:
        hosts = [*map(read_host, tree["hosts"])]
        found = tree["comparison"] and _kernels(tree["comparison"], path)
        return Kind.FLEETS, ((FleetResult(hosts, found),),)
    if "kernels" in keys:
        of_kernels = _kernels(tree, path)
        is_rounds = isinstance(of_kernels, KernelsComparison)
        return Kind.KERNELS if is_rounds else Kind.KERNEL_SUITES, ((of_kernels,),)
    raise UsageError(f"{path}: holds nothing that can be shown again", _HINT)


def _kernels(tree: Mapping[str, Any], path: Path) -> KernelsComparison | Comparison:
    """Return what a comparison of kernels, or of hosts, is made of: rounds, or the suite."""
    rows = tree["kernels"]
    if all("runs" in row for row in rows):
        return KernelsComparison(
            [
                KernelRecord(
                    row["kernel"], row["status"], _sections(row["runs"], path), row["error"] or ""
                )
                for row in rows
            ]
        )
    runs = tuple(
        KernelRun(row["kernel"], _suite(row["environment"], row["cases"]), row["error"] or "")
        for row in rows
    )
    cases = {case.name: case for run in runs for case in run.report.cases}
    return Comparison(tuple(cases.values()), runs)


def _kills(lines: list[dict[str, Any]], name: str) -> Saved:
    rows = [read_json(line) for line in lines if line["kind"] == "kill"]
    summaries = [line["environment"] for line in lines if line["kind"] == "summary"]
    origins = tuple(summaries[:1])
    return Saved(Kind.KILLS, tuple((each,) for each in rows), (name,), origins)


def _sections(runs: Iterable[Mapping[str, Any]], path: Path) -> list[Section]:
    """Return runs in JSON as the sections of the record that they were made from."""
    lines = [f"{json.dumps(line)}\n".encode() for line in _record(runs)]
    found = read_runs(lines, str(path)) if lines else []
    texts = [line.decode().rstrip("\n") for line in lines]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return [
        Section(one.run, partial(list, texts[starts.index(one.start) : starts.index(one.stop)]))
        for one in found
    ]


def _record(runs: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the record that a run in JSON was made from."""
    of_the_result = ("end", "remarks", "passed", "statistics", "rounds")
    for run in runs:
        head = {key: value for key, value in run.items() if key not in of_the_result}
        yield {"kind": "run", **head}
        yield from run["rounds"]
        if run["end"]:
            yield {"kind": "end", **run["end"]}


def _suites(lines: Iterable[dict[str, Any]]) -> Iterator[Report]:
    environment: Mapping[str, Any] | None = None
    results: list[dict[str, Any]] = []
    for line in lines:
        if line["kind"] == "suite":
            if environment is not None:
                yield _suite(environment, results)
            environment, results = line["environment"], []
        elif line["kind"] == "case":
            results.append(line)
    yield _suite(environment or {}, results)


def _suite(environment: Mapping[str, Any], rows: list[dict[str, Any]]) -> Report:
    from oomctl.smoke import suite

    abouts = {case.name: case.about for case in suite.cases()}
    cases = [
        Case(row["name"], row.get("about") or abouts.get(row["name"], ""), lambda _run: ())
        for row in rows
    ]
    return Report(environment, tuple(cases), tuple(map(result_of, rows)))
