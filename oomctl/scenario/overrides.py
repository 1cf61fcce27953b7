"""`--set KEY=VALUE` and `--vary KEY=A,B`: values of a scenario from the command line. Pure."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oomctl.scenario.fault import OVERRIDE, VARY, Fault, Path, ScenarioError, dotted, instead
from oomctl.text import cut

EVERY = "*"
"""As a key: every existing entry."""

# The last one is the top cgroup without quotes: cgroup...memory.max
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^.=\"'\[\]]+)|(\.)(?=\.)")
_INDEX = re.compile(r"\[([0-9]{1,6}|\*)\]", re.ASCII)
_DEPTH = 16
_OPEN, _CLOSE = "[{", "]}"


@dataclass(frozen=True)
class Override:
    """One override: where, and the value as TOML has it."""

    path: Path
    value: Any


def parse(text: str) -> Override:
    """Parse `KEY=VALUE`; a value that is not TOML is a string, so that 64M needs no quotes.

    The key is dotted as in TOML; `call[0].wait` and `call.0.wait` are the same.
    """
    path, value = _split_key(text)
    return Override(path, _value(value))


def vary(*texts: str) -> list[list[tuple[str, str]]]:
    """Split each `KEY=A,B` into overrides, each with a label such as `wait=true`.

    A label has the whole key if several keys have the same last part. A comma inside quotes or
    brackets belongs to a value.
    """
    split = [_split_key(text, VARY) for text in texts]
    paths = [path for path, _values in split]
    for path in paths:
        if paths.count(path) > 1:
            fault = Fault(path, "is given twice", "give all its values at once", where=VARY)
            raise ScenarioError([fault])
    ends = [path[-1] for path in paths]
    found = []
    for (path, values), text in zip(split, texts, strict=True):
        key = text.removesuffix(values)
        alone = isinstance(path[-1], str) and ends.count(path[-1]) == 1
        name = path[-1] if alone else dotted(path)
        each = [*_split_values(values)]
        if twice := [value for value in each if each.count(value) > 1]:
            fault = Fault(path, f"{twice[0]!r} is given twice", "give each value once", where=VARY)
            raise ScenarioError([fault])
        found.append([(f"{name}={value}", f"{key}{value}") for value in each])
    return found


def applied(
    raw: dict[str, Any], texts: Sequence[str], option: str = OVERRIDE
) -> tuple[list[tuple[Path, str]], list[Fault]]:
    """Apply overrides to parsed TOML; return their paths, and the faults of those that fail."""
    given: list[tuple[Path, str]] = []
    faults: list[Fault] = []
    for text in texts:
        try:
            override = parse(text)
            given += [(path, option) for path in _apply(raw, (), override.path, override.value)]
        except ScenarioError as error:
            faults += [replace(fault, where=option) for fault in error.faults]
    return given, faults


def _apply(at: Any, done: Path, path: Path, value: Any) -> Iterator[Path]:
    part, rest = path[0], path[1:]
    if isinstance(at, list):
        places: list[Any] = [*range(len(at))] if part == EVERY else [_index(at, done, part)]
    elif isinstance(at, dict):
        places = [*at] if part == EVERY else [str(part)]
    else:
        raise _refused(done, "is not a table", "leave out the part of the key after it")
    if not places:
        raise _refused(done, "has no entry for * to change", "name a new one instead")
    for place in places:
        here = (*done, place)
        if not rest:
            if place == len(at) and isinstance(at, list):
                at.append(value)
            at[place] = value
            yield here
        else:
            if _open(at, here):
                yield here
            yield from _apply(at[place], here, rest, value)


def _open(at: Any, here: Path) -> bool:
    """Make the entry that an override is for if it is new; return whether it was."""
    place = here[-1]
    if isinstance(at, list):
        if place != len(at):
            return False
        at.append({})
    elif place in at:
        return False
    else:
        names = at.keys() | ({"."} if here[0] == "cgroup" else set())
        implied = any(name.startswith(f"{place}/") for name in at)
        if here[:-1] == ("hog",) or (here[:-1] == ("cgroup",) and place != "." and not implied):
            raise _refused(
                here, f"there is no {here[0]} '{place}' to change", instead(str(place), names)
            )
        # without a call it is one call
        at[place] = [{}] if here == ("call",) else [] if here == ("step",) else {}
    return True


def _index(at: list[Any], done: Path, part: str | int) -> int:
    index = int(part) if re.fullmatch(r"[0-9]{1,6}", str(part), re.ASCII) else None
    if index is None:
        raise _refused(
            (*done, part), "is not a position", f"write {done[-1]}[0], or {done[-1]}[*] for all"
        )
    if index > len(at):
        name = dotted(done)
        there = f", {name}[0] to {name}[{len(at) - 1}]" if len(at) > 1 else ""
        what = f"does not exist; the file has {len(at)}{there}"
        raise _refused((*done, index), what, f"{name}[{len(at)}] would be a new one")
    return index


def _split_key(text: str, option: str = OVERRIDE) -> tuple[Path, str]:
    path: list[str | int] = []
    end = 0
    if not _is_utf8(text):  # a command line may hold any bytes
        what = f"'{cut(text)}' is not UTF-8 text"
        raise ScenarioError([Fault((), what, "TOML is text", where=option)])
    while match := _PART.match(text, end):
        path.append(next(each for each in match.groups() if each is not None).strip())
        end = match.end()
        while match := _INDEX.match(text, end):
            path.append(match[1] if match[1] == EVERY else int(match[1]))
            end = match.end()
        if text[end : end + 1] == "=" and len(path) <= _DEPTH:
            return tuple(path), text[end + 1 :]
        if text[end : end + 1] != ".":
            break
        end += 1
    what, hint = "KEY=VALUE", "hog.large.size=64M"
    if option != OVERRIDE:
        what, hint = "KEY=A,B", "hog.large.size=64M,128M"
    fault = Fault((), f"{cut(text)!r} is not {what}", f"write such as {hint}", where=option)
    raise ScenarioError([fault])


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(text: str) -> Any:
    """Return a value as TOML has it, else the text itself."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # ValueError: also an integer of too many digits
        return text.strip()
    return found["value"] if len(found) == 1 else text.strip()


def _split_values(text: str) -> Iterator[str]:
    start = depth = 0
    quote = ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _OPEN or char in _CLOSE:
            depth += 1 if char in _OPEN else -1
        elif char == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _refused(path: Path, what: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault(path, what, hint, where=OVERRIDE)])
