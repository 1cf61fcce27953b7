"""From what TOML has to a File: pydantic's errors in our words, and what is left without them.

Pure. A value that is at fault is taken out, so that the rest can be judged as well.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from oomctl.scenario.fault import Fault
from oomctl.scenario.model import File, Table
from oomctl.scenario.values import FieldError
from oomctl.scenario.words import Path, instead

_ROUNDS = 4  # an entry may lose a value, then lack it, then be empty
_KEY = "[key]"  # how pydantic ends the place of a key that is wrong itself


def validated(raw: dict[str, Any]) -> tuple[File | None, list[Fault]]:
    """Return a file's model and the faults of its keys and values.

    With faults the model is what remains of it, or None if nothing does; `raw` is used up.
    """
    found: list[Fault] = []
    for _ in range(_ROUNDS):
        try:
            return File.model_validate(raw), found
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
        found = found or [_fault(each) for each in errors]
        for each in errors:
            _take_out(raw, each)
    return None, found


def _fault(error: ErrorDetails) -> Fault:
    path = tuple(part for part in error["loc"] if part != _KEY)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return Fault(path, cause.what, cause.hint)
    match error["type"]:
        case "missing":
            return Fault(path, "is missing", "every entry needs it")
        case "extra_forbidden":
            key, known = str(path[-1]), _keys(path[:-1])
            if key.partition(".")[0] in known:
                return Fault(path, "no such key", "a dotted key has no quotes: memory.max = '64M'")
            return Fault(path, "no such key", instead(key, known, "leave it"))
        case "model_type" | "dict_type":
            return Fault(path, "is not a table", f"write {_as_table(path)}")
        case _:
            return Fault(path, "is not an array of tables", f"write [[{path[-1]}]]")


def _as_table(path: Path) -> str:
    known = _keys(path)
    return f"such as {{ {known[0]} = ... }}" if known else "a table with a name for each entry"


def _keys(path: Path) -> list[str]:
    """Return the keys that the table at a path knows; none where each key is a name."""
    kind: Any = File
    for part in path:
        kind = next(_inside(kind, part), None)
    tables = [each for each in _choices(kind) if isinstance(each, type) and issubclass(each, Table)]
    return [f.alias or name for table in tables for name, f in table.model_fields.items()]


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    """Yield the type of what a table, a table of tables or an array has at one place."""
    for each in _choices(kind):
        if isinstance(each, type) and issubclass(each, Table):
            if part in each.model_fields:
                yield each.model_fields[str(part)].annotation
        elif get_origin(each) is dict:
            yield get_args(each)[1]
        elif get_origin(each) is tuple:
            yield get_args(each)[0]


def _choices(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _choices(each)
    elif hasattr(kind, "__metadata__"):
        yield from _choices(get_args(kind)[0])
    else:
        yield kind


def _take_out(raw: dict[str, Any], error: ErrorDetails) -> None:
    """Remove what an error is about, or put in its place what means the least."""
    path = [part for part in error["loc"] if part != _KEY]
    at: Any = raw  # a dict or a list, which mypy cannot tell by the type of `part`
    for part in path[:-1]:
        if isinstance(at, dict) and part not in at:  # taken out already
            return
        below = at[part]
        if not isinstance(below, (dict, list)):  # a table that was written as one value
            break
        at = below
    else:
        part = path[-1]
    if error["type"] == "missing":
        at[part] = 0
    elif error["type"] == "model_type":
        at[part] = {}
    elif isinstance(at, dict):
        at.pop(part, None)
