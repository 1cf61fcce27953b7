"""Scenarios from files: read, parsed, overridden, checked; all faults at once."""

import tomllib
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from oomctl import resources
from oomctl.files.infile import open_input
from oomctl.scenario import fault, overrides, rules
from oomctl.scenario.fault import VARY, Fault, FieldError, Origin, ScenarioError, instead
from oomctl.scenario.layout import Layout
from oomctl.scenario.model import File, Table, key_of
from oomctl.scenario.scenario import Scenario

_TOO_LARGE = 1 << 20
_ROUNDS = 4  # an entry may lose a value, then lack it, then be empty
_KEY = "[key]"  # how pydantic ends the location of an error in a key itself


def load_all(
    paths: Sequence[Path],
    changes: Sequence[str] = (),
    memory: int | None = None,
    varied: Sequence[str] = (),
    texts: MutableMapping[Path, str] | None = None,
) -> list[Scenario]:
    """Load scenario files, each with the same overrides; ScenarioError with every fault of all.

    `changes` are from --set, `varied` from --vary. With the machine's `memory` in bytes, what the
    machine is too small for is a fault as well. `texts` keeps what was read for the next variant: a
    pipe can be read only once.
    """
    texts = {} if texts is None else texts
    found: list[Scenario] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            if path not in texts:
                texts[path] = _read(path)
            found.append(_load(path, texts[path], changes, memory, varied))
        except RecursionError:
            faults.append(_fault_of(path, "is nested too deeply", "a scenario has five levels"))
        except ScenarioError as error:
            faults += error.faults
    if faults:
        raise ScenarioError(faults)
    return found


def load(path: Path, changes: Sequence[str] = (), memory: int | None = None) -> Scenario:
    """Load one scenario file; ScenarioError with every fault."""
    return load_all([path], changes, memory)[0]


def checked(
    raw: dict[str, Any],
    name: str,
    source: str,
    origin: Origin,
    memory: int | None = None,
    faults: Sequence[Fault] = (),
) -> Scenario:
    """Make a scenario of parsed TOML; ScenarioError with every fault. `raw` is used up.

    `memory` are the bytes of the machine if they matter, `faults` those that are known already.
    """
    file, found = _validated(raw)
    if file is not None:
        found += fault.independent(rules.faults(Layout(file, memory)), found)
        if not found and not faults:
            return Scenario(name, source, file, origin)
    raise ScenarioError([*faults, *map(origin, found)])


def _load(
    path: Path, source: str, changes: Sequence[str], memory: int | None, varied: Sequence[str]
) -> Scenario:
    raw = _parse(path, source)
    if not raw:
        raise _refusal(path, "is empty", "write at least a [hog.NAME] or a [[call]]")
    given, faults = overrides.applied(raw, changes)
    more, others = overrides.applied(raw, varied, VARY)
    name = "stdin" if str(path) == "-" else path.stem
    origin = Origin(str(path), (*given, *more))
    return checked(raw, name, source, origin, memory, [*faults, *others])


def _read(path: Path) -> str:
    try:
        with open_input(path) as file:
            data = file.read(_TOO_LARGE + 1)
        if len(data) > _TOO_LARGE:
            raise _refusal(path, "is too large for a scenario", "1M at most")
        return data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise _refusal(path, f"is not UTF-8 text (byte {error.start})", "TOML is text") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        why = getattr(error, "strerror", None) or str(error)
        hint = "name a TOML file"
        if path.stem in (example.stem for example in resources.examples()):
            hint = "`oomctl examples --copy examples` writes it"
        raise _refusal(path, f"cannot be read: {why}", hint) from None


def _parse(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except ValueError as error:  # also an integer of too many digits
        why = str(error).partition("; use sys.")[0]  # advice for Python's authors
        unquoted = why.startswith(("Invalid value", "Expected newline"))
        hint = "strings need quotes: size = '64M'" if unquoted else ""
        raise _refusal(path, f"not TOML: {why}", hint) from None


def _fault_of(path: Path, what: str, hint: str) -> Fault:
    return Fault((), what, hint, where=str(path))


def _refusal(path: Path, what: str, hint: str) -> ScenarioError:
    return ScenarioError([_fault_of(path, what, hint)])


@cache
def _adapter() -> TypeAdapter[File]:
    return TypeAdapter(File)


def _validated(raw: dict[str, Any]) -> tuple[File | None, list[Fault]]:
    """Return a file's model and the faults of its keys and values.

    With faults the model is what remains without them, so that the rest can be checked as well;
    None if nothing remains. `raw` is used up.
    """
    found: list[Fault] = []
    for _ in range(_ROUNDS):
        try:
            return _adapter().validate_python(raw), found
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
        found = found or [_in_our_words(each) for each in errors]
        for each in errors:
            _take_out(raw, each)
    return None, found


def _in_our_words(error: ErrorDetails) -> Fault:
    path = _location(error)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return Fault(path, cause.what, cause.hint)
    match error["type"]:
        case "missing":
            return Fault(path, "is missing", "every entry needs it")
        case "unexpected_keyword_argument":
            key, known = str(path[-1]), _keys(path[:-1])
            if key.partition(".")[0] in known:
                return Fault(path, "no such key", "a dotted key has no quotes: memory.max = '64M'")
            return Fault(path, "no such key", instead(key, known, "leave it out"))
        case "dataclass_type" | "dict_type":
            keys = _keys(path)
            table = (
                f"such as {{ {keys[0]} = ... }}" if keys else "a table with a name for each entry"
            )
            return Fault(path, "is not a table", f"write {table}")
        case _:
            return Fault(path, "is not an array of tables", f"write [[{path[-1]}]]")


def _location(error: ErrorDetails) -> fault.Path:
    """Return where an error is; a key may be called like pydantic's mark of a wrong one."""
    path = error["loc"]
    marked = path[-1:] == (_KEY,) and isinstance(error.get("ctx", {}).get("error"), FieldError)
    return path[:-1] if marked else path


def _keys(path: fault.Path) -> list[str]:
    """Return the keys that the table at a path knows; none if each key is a name."""
    kinds: list[Any] = [File]
    for part in path:
        kinds = [each for kind in kinds for each in _choices(_inside(kind, part))]
    return [key for kind in kinds for key in _types(kind)]


def _types(kind: Any) -> dict[Any, Any]:
    """Return the types of a table's keys; none if it is not a table."""
    is_table = isinstance(kind, type) and issubclass(kind, Table)
    return {key_of(each.name): each.type for each in fields(kind)} if is_table else {}


def _inside(kind: Any, part: str | int) -> Any:
    """Return the type of what a table, a table of tables or an array has at one place."""
    if part in (types := _types(kind)):
        return types[part]
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _choices(kind: Any) -> Iterator[Any]:
    """Yield the types of a union, without their annotations."""
    if get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _choices(each)
    else:
        yield get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _take_out(raw: dict[str, Any], error: ErrorDetails) -> None:
    """Remove the value that an error is about, or put a harmless one in its place."""
    path = _location(error)
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
    elif error["type"] == "dataclass_type":
        at[part] = {}
    elif isinstance(at, dict):
        at.pop(part, None)
