"""The values of a scenario's keys as JSON schemas, by the names that fields.py gives them. Pure."""

from typing import Any

from oomctl.oom.plan import INT32_MAX, INT32_MIN
from oomctl.scenario import patterns
from oomctl.scenario.sysctls import LONGEST
from oomctl.units import SIZE_LIMIT

_DAY = 86_400


def text(pattern: str) -> dict[str, Any]:
    """Return the schema of a text that matches a pattern as a whole."""
    return {"type": "string", "pattern": patterns.whole(pattern)}


def _number(low: float, high: float, *texts: str, kind: str = "integer") -> dict[str, Any]:
    number = {"type": kind, "minimum": low, "maximum": high}
    return {"anyOf": [number, *map(text, texts)]}


_SIZE = (0, SIZE_LIMIT - 1, patterns.SIZE)
_WORDS = {**text(patterns.WORDS), "maxLength": LONGEST}
_UINT64 = (1 << 64) - 1
_SYSCTL_VALUE = {"type": "integer", "minimum": -_UINT64, "maximum": _UINT64}
_PART = rf"{patterns.SYSCTL_PART}(?:\.{patterns.SYSCTL_PART})*"
_SYSCTLS = {"$ref": "#/$defs/sysctls"}

DEFINITIONS: dict[str, dict[str, Any]] = {
    "size": _number(*_SIZE),
    "rate": {
        **_number(1, SIZE_LIMIT - 1, patterns.SIZE),
        "not": text(patterns.ZERO),
    },
    "amount": _number(*_SIZE, patterns.PERCENT),
    "part": _number(*_SIZE, patterns.PART),
    "limit": _number(*_SIZE, patterns.PERCENT, "max"),
    "time": _number(0, _DAY, patterns.TIME, kind="number"),
    "timeout": _number(0.1, _DAY, patterns.TIMEOUT, kind="number"),
    "count": _number(0, 10**18 - 1, patterns.COUNT),
    "return": _number(INT32_MIN, INT32_MAX, patterns.RETURN),
    "sysctl": {  # [sysctl]: a name has a dot at least
        "type": "object",
        "patternProperties": {
            patterns.whole(patterns.SYSCTL_PART): _SYSCTLS,
            patterns.whole(patterns.SYSCTL): {"anyOf": [_SYSCTLS, _SYSCTL_VALUE, _WORDS]},
        },
        "additionalProperties": False,
    },
    "sysctls": {  # [sysctl.vm]
        "type": "object",
        "propertyNames": text(_PART),
        "additionalProperties": {"anyOf": [_SYSCTLS, _SYSCTL_VALUE, _WORDS]},
    },
}
