"""Reads the lines of a record: runs with their statistics, told line by line. Pure."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

from oomctl.errors import UsageError
from oomctl.oom.as_json import SCHEMA
from oomctl.rounds.lines import head_of
from oomctl.rounds.round import round_of
from oomctl.rounds.run import End, Run, RunHeader, Why
from oomctl.rounds.statistics import Tally
from oomctl.text import cut

HINT = "give a file that `oomctl run` recorded"


@dataclass(frozen=True)
class Found:
    """A run, and which bytes of the record are its lines."""

    run: Run
    start: int
    stop: int


def read_runs(raw: Iterable[bytes], name: str) -> Iterator[Found]:
    """Yield the runs of a record, given its lines with their newlines.

    A last line that is only half there is left out and remarked. Raises UsageError for what is no
    record, with the number of the line.
    """
    reading: _Reading | None = None
    start = stop = 0
    for number, text in enumerate(raw, 1):
        where = f"{name}: line {number}"
        line = _parse(text, where)
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


def _parse(text: bytes, where: str) -> dict[str, Any] | None:
    try:
        line = json.loads(
            text.decode(), parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    except ValueError as error:
        raise _odd(where, error) from None
    return line if isinstance(line, dict) else None


def _why(word: object) -> Why:
    for known in get_args(Why):
        if word == known:
            return cast(Why, known)
    raise ValueError(f"end {word!r}")


def _whole(text: str) -> int:
    """Parse a number; ValueError for one of more than 64 bits: nothing that was counted."""
    if len(text) > 21 or (number := int(text)).bit_length() > 64:
        raise ValueError(f"{cut(text)} is larger than any number")
    return number


def _finite(text: str) -> float:
    """Parse a number; ValueError for one that JSON cannot write again."""
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
        return _Reading(head_of(line))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _odd(where, error) from None


class _Reading:
    def __init__(self, head: RunHeader) -> None:
        self.head = head
        self.tallies = {way.label: Tally(way.label, way.judged) for way in head.ways}
        self.rechecking = {way.label: way.rechecking for way in head.ways}
        self.end: End | None = None
        self.remarks: list[str] = []

    def take(self, line: dict[str, Any], where: str) -> None:
        try:
            if line["kind"] == "round":
                variant = line["variant"]
                self.tallies[variant].add(round_of(line, self.rechecking[variant]))
            elif line["kind"] == "end":
                self.end = End(_why(line["why"]), str(line["reason"]))
            else:
                raise ValueError(f"kind {line['kind']!r}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _odd(where, error) from None

    def run(self) -> Run:
        if self.end is None:
            self.remarks.append("the record has no end: oomctl was killed, or is still running")
        statistics = tuple(tally.statistics() for tally in self.tallies.values())
        return Run(self.head, statistics, self.end, tuple(self.remarks))


def _odd(where: str, error: Exception) -> UsageError:
    what = (
        f"lacks {error}" if isinstance(error, KeyError) else f"is not as oomctl writes it: {error}"
    )
    return UsageError(f"{where} {what}", HINT)
