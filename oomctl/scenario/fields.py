"""The types of a scenario's keys, one row each: the parser, and the JSON schema for editors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from oomctl.oom.enums import Context, Moment, Until, VerdictName, Via
from oomctl.oom.plan import (
    COUNTERS,
    INT32_MAX,
    INT32_MIN,
    MAX_CALLERS,
    MAX_HOGS,
    UINT64_MAX,
    After,
    HogKind,
    Range,
)
from oomctl.scenario import names, patterns, values
from oomctl.scenario.values import Percent
from oomctl.units import SIZE_LIMIT

KINDS: tuple[HogKind, ...] = get_args(HogKind)
MOMENTS = tuple(moment for moment in Moment if moment is not Moment.CALL)
"""The moments after the call, which an expectation may bound."""


Schema = dict[str, Any]


@dataclass(frozen=True, eq=False)  # so that typing can hash it
class Key:
    """The annotation of a key's type: its parser and its JSON schema.

    pydantic calls the methods. It is imported no earlier: only a file needs it.
    """

    parse: Callable[[Any], object]
    schema: Schema

    def __get_pydantic_core_schema__(self, _type: Any, _handler: Any) -> Any:
        from pydantic_core.core_schema import no_info_plain_validator_function

        return no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> Schema:
        return {**self.schema}


@dataclass(frozen=True, eq=False)  # so that typing can hash it
class Before:
    """The annotation of a table: what is done with its value before; `given` may be written too."""

    change: Callable[[Any], object]
    given: Any = None

    def __get_pydantic_core_schema__(self, table: Any, handler: Any) -> Any:
        from pydantic_core.core_schema import no_info_before_validator_function

        written = self.given and handler.generate_schema(self.given | table)
        return no_info_before_validator_function(
            self.change, handler(table), json_schema_input_schema=written
        )


_UINT64 = {"type": "integer", "minimum": -UINT64_MAX, "maximum": UINT64_MAX}
_SYSCTL_VALUE = [
    {"$ref": "#/$defs/sysctls"},
    _UINT64,
    {"type": "string", "pattern": patterns.whole(patterns.WORDS), "maxLength": names.LONGEST},
]
DEFINITIONS: dict[str, Schema] = {
    "sysctl": {  # [sysctl]: a name has a dot at least
        "type": "object",
        "patternProperties": {
            patterns.whole(patterns.SYSCTL_PART): _SYSCTL_VALUE[0],
            patterns.whole(patterns.SYSCTL): {"anyOf": _SYSCTL_VALUE},
        },
        "additionalProperties": False,
    },
    "sysctls": {  # [sysctl.vm]
        "type": "object",
        "propertyNames": {"type": "string", "pattern": patterns.whole(patterns.SYSCTL_BELOW)},
        "additionalProperties": {"anyOf": _SYSCTL_VALUE},
    },
}
"""The schemas that several keys share, by name."""


def _named(name: str, parse: Callable[[object], object], schema: Schema | None = None) -> Key:
    """Return the type of one of DEFINITIONS, to which jsonschema.py refers by this title."""
    if schema:
        DEFINITIONS[name] = schema
    return Key(parse, {"title": name})


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": patterns.whole(pattern)}


def _number(low: float, high: float, *texts: str, kind: str = "integer") -> Schema:
    return {"anyOf": [{"type": kind, "minimum": low, "maximum": high}, *map(_text, texts)]}


def _size(*texts: str) -> Schema:
    return _number(0, SIZE_LIMIT - 1, patterns.SIZE, *texts)


def _whole(low: int, high: int) -> Key:
    return Key(values.whole(low, high), {"type": "integer", "minimum": low, "maximum": high})


def _string(parse: Callable[[str], str], pattern: str) -> Key:
    """Return the type of a name, used as a key or as a value; a value may be of any TOML type."""
    return Key(lambda value: parse(values.text(value)), _text(pattern))


def _one_of(known: tuple[str, ...], noun: str) -> Key:
    return Key(values.one_of(known, noun), {"enum": [*known]})


def _some(parse: Callable[[object], str], item: Mapping[str, Any], none: bool = False) -> Key:
    """Return the type of one item or an array of them; with `none` the array may be empty."""
    array = {"type": "array", "items": item, **({} if none else {"minItems": 1})}
    return Key(values.some_of(parse, none), {"anyOf": [item, array]})


Text = Annotated[str, Key(values.text, {"type": "string"})]
Flag = Annotated[bool, Key(values.flag, {"type": "boolean"})]

Size = Annotated[int, _named("size", values.size, _size())]
Rate = Annotated[
    int,
    _named(
        "rate",
        values.rate,
        {**_number(1, SIZE_LIMIT - 1, patterns.SIZE), "not": _text(patterns.ZERO)},
    ),
]
Amount = Annotated[int | Percent, _named("amount", values.amount, _size(patterns.PERCENT))]
Part = Annotated[int | Percent, _named("part", values.part, _size(patterns.PART))]
Limit = Annotated[
    int | Percent | str, _named("limit", values.limit, _size(patterns.PERCENT, "max"))
]
Time = Annotated[
    float,
    _named("time", values.duration(), _number(0, patterns.DAY, patterns.TIME, kind="number")),
]
Timeout = Annotated[
    float,
    _named(
        "timeout",
        values.duration(0.1),
        _number(0.1, patterns.DAY, patterns.TIMEOUT, kind="number"),
    ),
]
Count = Annotated[Range, _named("count", values.count, _number(0, 10**18 - 1, patterns.COUNT))]
PidsMax = Annotated[
    int | str, _named("pids", values.pids_max, _number(0, values.PIDS_LIMIT, "max"))
]
DEFINITIONS["return"] = _number(INT32_MIN, INT32_MAX, patterns.RETURN)
Returns = Annotated[tuple[str, ...], _some(values.returned, {"title": "return"})]
Sysctls = Annotated[dict[str, str], _named("sysctl", names.sysctls)]

KernelValue = Annotated[str, Key(names.kernel_value, {"anyOf": _SYSCTL_VALUE[1:]})]
SysfsFile = Annotated[str, _string(names.sysfs_file, patterns.SYSFS)]
Event = Annotated[
    After,
    _named(
        "after",
        values.after,
        _number(0, patterns.DAY, patterns.TIME, patterns.AFTER, kind="number"),
    ),
]

HogCount = Annotated[int, _whole(0, MAX_HOGS)]
Tasks = Annotated[int, _whole(1, 4096)]
Adj = Annotated[int, _whole(-1000, 1000)]
Order = Annotated[int, _whole(INT32_MIN, INT32_MAX)]
Flags = Annotated[int, _whole(0, UINT64_MAX)]
Callers = Annotated[int, _whole(1, MAX_CALLERS)]
Repeat = Annotated[int, _whole(1, 100_000)]
Natural = Annotated[int, _whole(0, INT32_MAX)]

KindName = Annotated[HogKind, _one_of(KINDS, "kind of hog")]
ViaName = Annotated[Via, _one_of(tuple(Via), "trigger")]
ContextName = Annotated[Context, _one_of(tuple(Context), "context")]
UntilName = Annotated[Until, _one_of(tuple(Until), "value of until")]
Counter = Annotated[str, _one_of(COUNTERS, "counter of memory.events")]
MomentName = Annotated[Moment, _one_of(MOMENTS, "moment of the timeline")]
Verdicts = Annotated[
    tuple[VerdictName, ...],
    _some(values.one_of(tuple(VerdictName), "verdict"), {"enum": [*VerdictName]}),
]
Names = Annotated[tuple[str, ...], _some(values.text, {"type": "string"}, none=True)]

HogName = Annotated[str, _string(names.hog_name, patterns.HOG)]
CgroupName = Annotated[str, _string(names.cgroup_name, patterns.CGROUP)]
CgroupNames = Annotated[tuple[str, ...], _some(names.cgroup, _text(patterns.CGROUP))]
HogNames = Annotated[tuple[str, ...], _some(values.text, {"type": "string"})]
Comm = Annotated[str, _string(names.comm, patterns.COMM)]
Absolute = Annotated[str, _string(names.absolute, patterns.ABSOLUTE)]
Existing = Annotated[str, _string(names.existing_cgroup, patterns.EXISTING)]
Target = Annotated[str, _string(names.target, patterns.TARGET)]

Counts = dict[Counter, Count]
Returned = Annotated[
    dict[Annotated[str, _string(values.returned, patterns.RETURN)], Count],
    Before(values.once(values.returned)),
]
