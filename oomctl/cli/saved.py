"""Results that oomctl has saved: a file is read back into what its renderers take."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from oomctl import console
from oomctl.errors import UsageError
from oomctl.files.infile import open_input
from oomctl.oom import from_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.outcome import Outcome
from oomctl.report.kills import SavedKill, read_json
from oomctl.rounds.reader import MALFORMED, parse, read_runs
from oomctl.rounds.record import read_sections
from oomctl.rounds.run import Section
from oomctl.smoke.case import Case
from oomctl.smoke.results import Report, result_of

Kind = Literal["outcome", "rounds", "smoke", "kills"]
_HINT = "give a file that oomctl wrote: -f json, -f jsonl, or a record"
_PEEK = 256
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Saved:
    """What files hold, all of one kind, in their order."""

    kind: Kind
    outcomes: tuple[Outcome, ...] = ()
    sections: tuple[Section, ...] = ()
    suites: tuple[Report, ...] = ()
    kills: tuple[SavedKill, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)

    def __add__(self, other: "Saved") -> "Saved":
        return Saved(
            self.kind,
            self.outcomes + other.outcomes,
            self.sections + other.sections,
            self.suites + other.suites,
            self.kills + other.kills,
            self.names + other.names,
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
            return _read(file, path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", _HINT) from error


def _read(file: BinaryIO, path: Path) -> Saved:
    name = "stdin" if str(path) == "-" else path.name
    begun = file.peek(_PEEK)[:_PEEK] if hasattr(file, "peek") else b""
    try:
        if begun.startswith((b'{"kind": "suite"', b'{"kind":"suite"')):
            return Saved("smoke", suites=tuple(_suites(_lines(file, path))), names=(name,))
        if begun.startswith((b'{"kind": "kill"', b'{"kind": "summary"')):
            rows = (line for line in _lines(file, path) if line["kind"] == "kill")
            return Saved("kills", kills=tuple(map(read_json, rows)), names=(name,))
        if re.match(rb'\{\n *"', begun):
            return _whole(parse(file.read(_LARGEST), str(path)), path, name)
        sections = tuple(read_sections(file, path))
        for remark in (remark for section in sections for remark in section.run.remarks):
            console.note(f"{path}: {remark}")
        return Saved("rounds", sections=sections, names=(name,))
    except MALFORMED as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"has {error}"
        raise UsageError(f"{path}: is not as oomctl writes it: {what}", _HINT) from error


def _lines(file: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    """Yield each line; half a line at the end is left out."""
    for number, text in enumerate(file, 1):
        line = parse(text, f"{path}: line {number}")
        if line is None and text.endswith(b"\n"):
            raise UsageError(f"{path}: line {number} is not JSON", _HINT)
        if line is not None:
            yield line


def _whole(tree: Mapping[str, Any] | None, path: Path, name: str) -> Saved:
    if tree is None:
        raise UsageError(f"{path}: is not JSON", _HINT)
    if tree.get("schema") != SCHEMA:
        raise UsageError(
            f"{path}: has schema {tree.get('schema')}, this oomctl knows {SCHEMA}",
            "read it with the oomctl that wrote it",
        )
    if "calls" in tree and "tasks" in tree:
        return Saved("outcome", outcomes=(from_json.outcome(tree),), names=(name,))
    if "runs" in tree:
        lines = [f"{json.dumps(line)}\n".encode() for line in _record(tree["runs"])]
        found = read_runs(lines, str(path))
        texts = [line.decode().rstrip("\n") for line in lines]
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        sections = [
            Section(one.run, partial(list, texts[starts.index(one.start) : starts.index(one.stop)]))
            for one in found
        ]
        return Saved("rounds", sections=tuple(sections), names=(name,))
    if "cases" in tree and "counts" in tree:
        return Saved("smoke", suites=(_suite(tree["environment"], tree["cases"]),), names=(name,))
    raise UsageError(f"{path}: holds nothing that can be shown again", _HINT)


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

    known = {case.name: case for case in suite.cases()}
    cases = [
        known.get(row["name"]) or Case(row["name"], row.get("about", ""), lambda _run: ())
        for row in rows
    ]
    return Report(environment, tuple(cases), tuple(map(result_of, rows)))
