"""Parsers of the values that a scenario's keys take. Pure.

A parser takes a value as TOML has it. Its FieldError says what was given and what to write instead.
"""

import math
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from oomctl.oom.enums import Occasion
from oomctl.oom.errnos import NUMBERS, name_of
from oomctl.oom.plan import INT32_MAX, INT32_MIN, After, Range
from oomctl.scenario import patterns
from oomctl.scenario.fault import FieldError, instead, shown
from oomctl.units import BLANKS, SIZE_LIMIT, parse_duration, parse_size

Name = TypeVar("Name", bound=str)

_PERCENT = re.compile(patterns.PERCENT)
_COUNT = re.compile(patterns.COUNT)
_AFTER = re.compile(patterns.AFTER)
PIDS_LIMIT = 1 << 22
"""PID_MAX_LIMIT on 64-bit kernels (include/linux/threads.h)."""


@dataclass(frozen=True)
class Percent:
    """A share of a limit, or of the machine's memory."""

    value: float

    def of(self, size: int) -> int:
        """Return the share of `size` bytes, in whole 4 KiB."""
        return int(size * self.value / 100) & ~4095

    def __str__(self) -> str:
        return f"{self.value:g}%"


def size(value: object) -> int:
    """Parse bytes: a number, or a text with K, M, G as powers of 1024."""
    match value:
        case bool() | float():
            pass
        case int() if 0 <= value < SIZE_LIMIT:
            return value
        case int():
            why = "is below 0" if value < 0 else "is larger than any address space"
            raise FieldError(f"{shown(value)} {why}", "write bytes, or K, M, G (such as '64M')")
        case str():
            try:
                return parse_size(value)
            except ValueError as error:
                raise FieldError(str(error)) from None
    raise FieldError(f"{shown(value)} is not a size", "write '64M' or whole bytes")


def rate(value: object) -> int:
    """Parse bytes per second."""
    if (parsed := size(value)) == 0:
        raise FieldError("a rate of 0 would never fill it", "leave it out for no limit")
    return parsed


def amount(value: object) -> int | Percent:
    """Parse bytes, or a percentage."""
    if isinstance(value, str) and value.strip(BLANKS).endswith("%"):
        if not _PERCENT.fullmatch(value):
            what = f"{shown(value)} is not a percentage"
            raise FieldError(what, "write such as '50%' or '12.5%'")
        return Percent(float(value.strip(f"{BLANKS}%")))
    return size(value)


def part(value: object) -> int | Percent:
    """Parse bytes, or a percentage up to 100."""
    parsed = amount(value)
    if isinstance(parsed, Percent) and parsed.value > 100:
        raise FieldError(f"{parsed} is more than the hog has", "100% at most")
    return parsed


def limit(value: object) -> int | Percent | str:
    """Parse a limit: bytes, a percentage, or `max`."""
    return "max" if value == "max" else amount(value)


def pids_max(value: object) -> int | str:
    """Parse a number of tasks, or `max`."""
    return "max" if value == "max" else whole(0, PIDS_LIMIT, ", or 'max'")(value)


def duration(low: float = 0.0, high: float = patterns.DAY) -> Callable[[object], float]:
    """Return a parser of seconds, given as a number or with a unit."""

    def parse(value: object) -> float:
        if isinstance(value, str):
            try:
                seconds = parse_duration(value)
            except ValueError as error:
                raise FieldError(str(error)) from None
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = value
        else:
            raise FieldError(f"{shown(value)} is not a time", "write seconds, or such as '100ms'")
        if math.isnan(seconds) or not low <= seconds <= high:
            raise FieldError(f"{shown(value)} is out of range", f"from {low:g} to {high:g} seconds")
        return float(seconds)

    return parse


def after(value: object) -> After:
    """Parse when a step is made: a time, or what it comes after; `hogs` has the name as given."""
    if isinstance(value, str) and _AFTER.fullmatch(value):
        name, _, what = value.rpartition(".")
        if what == Occasion.RETURNED:
            return After(Occasion.RETURNED, call=int(name[len("call[") : -1]))
        return After(Occasion(what), (name,) if name else ())
    if isinstance(value, str) and value[:1].isalpha():
        hint = "write such as '2s', 'filled', 'large.exited' or 'call[0].returned'"
        raise FieldError(f"{shown(value)} is neither a time nor an event", hint)
    return After(Occasion.STARTED, delay=duration()(value))


def whole(low: int, high: int, more: str = "") -> Callable[[object], int]:
    """Return a parser of whole numbers from `low` to `high`; `more` ends the hint."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise FieldError(f"{shown(value)} is not a whole number", f"from {low} to {high}{more}")
        if not low <= value <= high:
            raise FieldError(f"{shown(value)} is out of range", f"from {low} to {high}{more}")
        return value

    return parse


def flag(value: object) -> bool:
    """Parse true or false."""
    if not isinstance(value, bool):
        raise FieldError(
            f"{shown(value)} is neither true nor false", "write true or false, unquoted"
        )
    return value


def text(value: object) -> str:
    """Parse a text."""
    if not isinstance(value, str):
        raise FieldError(f"{shown(value)} is not a string", "put it into quotes")
    return value


def one_of(known: Sequence[Name], noun: str) -> Callable[[object], Name]:
    """Return a parser of one of the known names."""

    def parse(value: object) -> Name:
        if not isinstance(value, str):
            raise FieldError(f"{shown(value)} is not a {noun}", f"write one of {', '.join(known)}")
        if value not in known:
            raise FieldError(f"{shown(value)} is not a {noun}", instead(value, known))
        return known[known.index(value)]

    return parse


def some_of(
    item: Callable[[object], Name], none: bool = False
) -> Callable[[object], tuple[Name, ...]]:
    """Return a parser of one item or an array of them; with `none` the array may be empty."""

    def parse(value: object) -> tuple[Name, ...]:
        if value == [] and not none:
            raise FieldError("is an empty array", "name at least one, or leave it out")
        return tuple(item(each) for each in (value if isinstance(value, list) else [value]))

    return parse


def returned(value: object) -> str:
    """Parse what a call returns: a number, an errno's name, or `none` if it does not return."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = whole(INT32_MIN, INT32_MAX)(value)
        return name_of(number) or str(number)
    if (name := text(value)) == "none":
        return name
    if re.fullmatch(r"-?0*[0-9]{1,10}", name, re.ASCII):
        return returned(int(name))
    number = NUMBERS.get(name.removeprefix("-"), 0)
    if number == 0:
        raise FieldError(
            f"{shown(value)} is neither a number nor an errno",
            instead(name, tuple(NUMBERS))
            if len(name) > 1 and name.startswith("E")
            else "write 1 or 'EBUSY'",
        )
    return name_of(-number) or name


def once(parse: Callable[[object], Hashable]) -> Callable[[object], object]:
    """Return a check that no two keys of a table mean the same, such as -16 and EBUSY."""

    def check(value: object) -> object:
        seen: dict[Hashable, object] = {}
        for key in value if isinstance(value, dict) else ():
            try:
                meant = parse(key)
            except FieldError:  # a fault of the key itself
                continue
            if meant in seen:
                raise FieldError(
                    f"{shown(seen[meant])} and {shown(key)} are the same", "keep one of them"
                )
            seen[meant] = key
        return value

    return check


def count(value: object) -> Range:
    """Parse a count: a number, or `LOW..HIGH`; either end may be left out."""
    if isinstance(value, str) and _COUNT.fullmatch(value):
        low, _, high = value.partition("..")
        span = Range(int(low or 0), int(high) if high else None)
        if span.high is None or span.low <= span.high:
            return span
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return Range(value, value)
    raise FieldError(f"{shown(value)} is not a count", "write 1, '1..2', '2..' or '..2'")
