"""The types of a scenario's keys: how each is read, and its JSON schema for editors."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from oomctl.oom.plan import (
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
from oomctl.scenario import definitions, names, patterns, sysctls, values
from oomctl.scenario.values import Percent

KINDS, VIAS, UNTILS = get_args(Kind), get_args(Via), get_args(Until)
VERDICTS = (
    *("killed", "group-killed", "wrong-victim", "over-kill", "claimed-but-none-died"),
    *("caller-killed", "no-killable-task", "oom-killer-disabled", "invalid-argument", "busy"),
    *("interrupted", "no-answer", "unexpected-return", "spared", "reclaimed", "cgroup-killed"),
    *("refused", "nobody-died"),
)
COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")
MOMENTS = (
    *("locked", "killed", "marked", "unlocking", "reaper-woken", "reaping", "reaped"),
    *("reaping-skipped", "exited", "return", "relieved", "unpopulated"),
)


def _named(name: str) -> WithJsonSchema:
    """Return one of DEFINITIONS, which jsonschema.py puts in place of the title."""
    return WithJsonSchema({"title": name})


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema(definitions.text(pattern))


def _whole(low: int, high: int) -> tuple[PlainValidator, WithJsonSchema]:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return PlainValidator(values.whole(low, high)), WithJsonSchema(schema)


def _some(item: Mapping[str, Any], none: bool = False) -> WithJsonSchema:
    least = {} if none else {"minItems": 1}
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, **least}]})


Text = Annotated[str, PlainValidator(values.text), WithJsonSchema({"type": "string"})]
Flag = Annotated[bool, PlainValidator(values.flag), WithJsonSchema({"type": "boolean"})]
Size = Annotated[int, PlainValidator(values.size), _named("size")]
Rate = Annotated[int, PlainValidator(values.rate), _named("rate")]
Amount = Annotated[int | Percent, PlainValidator(values.amount), _named("amount")]
Part = Annotated[int | Percent, PlainValidator(values.part), _named("part")]
Limit = Annotated[int | Percent | str, PlainValidator(values.limit), _named("limit")]
Time = Annotated[float, PlainValidator(values.duration()), _named("time")]
Timeout = Annotated[float, PlainValidator(values.duration(0.1)), _named("timeout")]
Count = Annotated[Range, PlainValidator(values.span), _named("count")]

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
    _some({"enum": [*VERDICTS]}),
]
Returns = Annotated[
    tuple[str, ...],
    PlainValidator(values.some_of(values.returned)),
    _some({"title": "return"}),
]
Names = Annotated[
    tuple[str, ...],
    PlainValidator(values.some_of(values.text, none=True)),
    _some({"type": "string"}, none=True),
]

Sysctls = Annotated[dict[str, str], PlainValidator(sysctls.sysctls), _named("sysctl")]
HogName = Annotated[str, PlainValidator(names.hog_name), _text(patterns.HOG)]
CgroupName = Annotated[str, PlainValidator(names.cgroup_name), _text(patterns.CGROUP)]
Comm = Annotated[str, PlainValidator(names.comm), _text(patterns.COMM)]
Absolute = Annotated[str, PlainValidator(names.absolute), _text(patterns.ABSOLUTE)]
Existing = Annotated[str, PlainValidator(names.existing_cgroup), _text(patterns.EXISTING)]
Target = Annotated[str, PlainValidator(names.target), _text(patterns.TARGET)]
Return = Annotated[str, PlainValidator(values.returned), _text(patterns.RETURN)]
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

Counts = dict[Counter, Count]
Returned = Annotated[dict[Return, Count], BeforeValidator(values.once(values.returned))]
