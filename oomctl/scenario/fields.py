"""The types of a scenario's keys: how each is read, and its JSON schema for editors."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import PlainValidator, WithJsonSchema

from oomctl.plan import (
    INT32_MAX,
    INT32_MIN,
    MAX_CALLERS,
    MAX_HOGS,
    UINT64_MAX,
    Kind,
    Range,
    Until,
    Via,
)
from oomctl.scenario import names, sysctls, values
from oomctl.scenario.values import Percent

KINDS, VIAS, UNTILS = get_args(Kind), get_args(Via), get_args(Until)
VERDICTS = (
    *("killed", "group-killed", "wrong-victim", "over-kill", "claimed-but-none-died"),
    *("loader-killed", "no-killable-task", "oom-killer-disabled", "invalid-argument", "busy"),
    *("interrupted", "no-answer", "unexpected-return", "spared", "reclaimed", "cgroup-killed"),
    *("refused", "nobody-died"),
)
COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")
MOMENTS = (
    *("locked", "killed", "marked", "unlocking", "reaper-woken", "reaping", "reaped"),
    *("reaping-skipped", "exited", "return", "relieved", "unpopulated"),
)

_SIZE = r"^(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)([KMGTPEkmgtpe](i|iB)?)?$"
_AMOUNT = rf"{_SIZE}|^[0-9]+(\.[0-9]+)? ?%$"
_TIME = r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|m|h)?$"


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _number_or(pattern: str, number: str = "integer") -> dict[str, Any]:
    return {"anyOf": [{"type": number, "minimum": 0}, _text(pattern)]}


def _whole(low: int, high: int) -> tuple[PlainValidator, WithJsonSchema]:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return PlainValidator(values.whole(low, high)), WithJsonSchema(schema)


def _some(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item}]}


_COUNT = {"anyOf": [{"type": "integer", "minimum": 0}, _text(r"^([0-9]+\.\.[0-9]*|\.\.[0-9]+)$")]}
_RETURN = {"anyOf": [{"type": "integer"}, _text(r"^(-?[0-9]+|-?E[A-Z0-9]+)$")]}
_SYSCTL = ("integer", "string")
_LIMIT = {"anyOf": [{"type": "integer", "minimum": 0}, _text(rf"{_AMOUNT}|^max$")]}

Text = Annotated[str, PlainValidator(values.text), WithJsonSchema({"type": "string"})]
Flag = Annotated[bool, PlainValidator(values.flag), WithJsonSchema({"type": "boolean"})]
Size = Annotated[int, PlainValidator(values.size), WithJsonSchema(_number_or(_SIZE))]
Rate = Annotated[int, PlainValidator(values.rate), WithJsonSchema(_number_or(_SIZE))]
Amount = Annotated[
    int | Percent, PlainValidator(values.amount), WithJsonSchema(_number_or(_AMOUNT))
]
Limit = Annotated[int | Percent | str, PlainValidator(values.limit), WithJsonSchema(_LIMIT)]
Time = Annotated[
    float, PlainValidator(values.duration()), WithJsonSchema(_number_or(_TIME, "number"))
]
Timeout = Annotated[
    float, PlainValidator(values.duration(0.1)), WithJsonSchema(_number_or(_TIME, "number"))
]
Count = Annotated[Range, PlainValidator(values.span), WithJsonSchema(_COUNT)]

HogCount = Annotated[int, *_whole(0, MAX_HOGS)]
Tasks = Annotated[int, *_whole(1, 4096)]
Adj = Annotated[int, *_whole(-1000, 1000)]
Order = Annotated[int, *_whole(INT32_MIN, INT32_MAX)]
Flags = Annotated[int, *_whole(0, UINT64_MAX)]
Callers = Annotated[int, *_whole(1, MAX_CALLERS)]
Repeat = Annotated[int, *_whole(1, 100_000)]
PidsMax = Annotated[int, *_whole(0, 1 << 22)]
Natural = Annotated[int, *_whole(0, INT32_MAX)]

KindName = Annotated[
    Kind, PlainValidator(values.one_of(KINDS, "kind of hog")), WithJsonSchema({"enum": [*KINDS]})
]
ViaName = Annotated[
    Via, PlainValidator(values.one_of(VIAS, "way to call")), WithJsonSchema({"enum": [*VIAS]})
]
UntilName = Annotated[
    Until,
    PlainValidator(values.one_of(UNTILS, "thing to wait for")),
    WithJsonSchema({"enum": [*UNTILS]}),
]
Verdicts = Annotated[
    tuple[str, ...],
    PlainValidator(values.some_of(values.one_of(VERDICTS, "verdict"))),
    WithJsonSchema(_some({"enum": [*VERDICTS]})),
]
Returns = Annotated[
    tuple[str, ...],
    PlainValidator(values.some_of(values.returned)),
    WithJsonSchema(_some(_RETURN)),
]
Names = Annotated[
    tuple[str, ...],
    PlainValidator(values.some_of(values.text)),
    WithJsonSchema(_some({"type": "string"})),
]

Sysctls = Annotated[
    dict[str, str],
    PlainValidator(sysctls.sysctls),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["object", *_SYSCTL]}}),
]
HogName = Annotated[
    str, PlainValidator(names.hog_name), WithJsonSchema(_text("^[A-Za-z0-9_-]{1,15}$"))
]
CgroupName = Annotated[
    str,
    PlainValidator(names.cgroup_name),
    WithJsonSchema(_text(r"^(\.|[A-Za-z0-9_@:+-][A-Za-z0-9_.@:+/-]*)$")),
]
Comm = Annotated[str, PlainValidator(names.comm), WithJsonSchema(_text("^[ -~]{1,15}$"))]
Absolute = Annotated[str, PlainValidator(names.absolute), WithJsonSchema(_text("^/"))]
Existing = Annotated[str, PlainValidator(names.existing_cgroup), WithJsonSchema(_text("^/"))]
Target = Annotated[str, PlainValidator(names.target), WithJsonSchema({"type": "string"})]
Return = Annotated[str, PlainValidator(values.returned), WithJsonSchema(_RETURN["anyOf"][1])]
Counter = Annotated[
    str,
    PlainValidator(values.one_of(COUNTERS, "counter of memory.events")),
    WithJsonSchema({"enum": [*COUNTERS]}),
]
Moment = Annotated[
    str,
    PlainValidator(values.one_of(MOMENTS, "moment of the timeline")),
    WithJsonSchema({"enum": [*MOMENTS]}),
]
