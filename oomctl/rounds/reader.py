"""Reads the lines of a record into runs with their statistics, one line at a time. Pure."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from oomctl.errors import UsageError
from oomctl.oom.as_json import SCHEMA
from oomctl.rounds.round import round_of
from oomctl.rounds.run import End, Run, RunHeader, VariantRecord, Why
from oomctl.rounds.statistics import Tally
from oomctl.text import cut

HINT = "give a file that `oomctl run` recorded"
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Found:
    """A run, and the range of the record's bytes that are its lines."""

    run: Run
    start: int
    stop: int


def read_runs(raw: Iterable[bytes], name: str) -> Iterator[Found]:
    """Yield the runs of a record, given its lines with their newlines.

    An incomplete last line is left out, and the run's remarks say so. Raises UsageError with the
    number of the line if this is not a record.
    """
    reading: _Reading | None = None
    start = stop = 0
    for number, text in enumerate(raw, 1):
        where = f"{name}: line {number}"
        line = parse(text, where)
        if line is None and not text.endswith(b"\n") and reading:
            reading.remarks.append(f"line {number} is only half there and left out")
            break
        if line is None:
            what = "is not a record" if number == 1 else f"line {number} is not JSON"
            raise UsageError(f"{name}: {what}", HINT)
        if line.get("kind") == "run":
            if reading:
                yield Found(reading.run(), start, stop)
            reading, start = _begin(line, where), stop
        elif reading is None:
            raise UsageError(f"{name}: is not a record", HINT)
        else:
            reading.take(line, where)
        stop += len(text)
    if reading is None:
        raise UsageError(f"{name}: is empty", HINT)
    yield Found(reading.run(), start, stop)


def parse(text: bytes, where: str) -> dict[str, Any] | None:
    """Return the object that a text is; None if it is none, UsageError for an odd number."""
    try:
        line = json.loads(
            text.decode(), parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    except ValueError as error:
        raise _malformed(where, error) from None
    return line if isinstance(line, dict) else None


def _whole(text: str) -> int:
    """Parse an integer; ValueError for more than 64 bits, which no counter has."""
    if len(text) > 21 or (number := int(text)).bit_length() > 64:
        raise ValueError(f"{cut(text)} is larger than any number")
    return number


def _finite(text: str) -> float:
    """Parse a number; ValueError for infinity and NaN, which JSON cannot write."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{cut(text)} is not a finite number")
    return number


def _begin(line: dict[str, Any], where: str) -> "_Reading":
    if line.get("schema") != SCHEMA:
        raise UsageError(
            f"{where}: has schema {line.get('schema')}, this oomctl knows {SCHEMA}",
            "read it with the oomctl that wrote it",
        )
    try:
        return _Reading(_header(line))
    except MALFORMED as error:
        raise _malformed(where, error) from None


def _header(line: Mapping[str, Any]) -> RunHeader:
    return RunHeader(
        scenario=str(line["scenario"]),
        description=str(line["description"]),
        source=str(line["source"]),
        variants=tuple(
            VariantRecord(
                str(variant["label"]),
                tuple(variant["overrides"]),
                variant["via"],
                bool(variant["judged"]),
                tuple(dict(step) for step in variant["steps"]),
            )
            for variant in line["variants"]
        ),
        options=dict(line["options"]),
        environment=dict(line["environment"]),
        started=str(line["started"]),
    )


class _Reading:
    def __init__(self, header: RunHeader) -> None:
        self.header = header
        self.tallies = {each.label: Tally(each.label, each.judged) for each in header.variants}
        self.rechecking = {each.label: each.rechecking for each in header.variants}
        self.end: End | None = None
        self.remarks: list[str] = []

    def take(self, line: dict[str, Any], where: str) -> None:
        try:
            if line["kind"] == "round":
                variant = line["variant"]
                self.tallies[variant].add(round_of(line, self.rechecking[variant]))
            elif line["kind"] == "end":
                if (why := line["why"]) not in get_args(Why):
                    raise ValueError(f"end {why!r}")
                self.end = End(cast(Why, why), str(line["reason"]))
            else:
                raise ValueError(f"kind {line['kind']!r}")
        except MALFORMED as error:
            raise _malformed(where, error) from None

    def run(self) -> Run:
        if self.end is None:
            self.remarks.append("the record has no end: oomctl was killed, or is still running")
        statistics = tuple(tally.statistics() for tally in self.tallies.values())
        return Run(self.header, statistics, self.end, tuple(self.remarks))


def _malformed(where: str, error: Exception) -> UsageError:
    what = (
        f"lacks {error}" if isinstance(error, KeyError) else f"is not as oomctl writes it: {error}"
    )
    return UsageError(f"{where} {what}", HINT)
