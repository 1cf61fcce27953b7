"""A value of any kind that TOML has is refused by a key's type, or parsed; nothing else happens."""

import datetime
import math
from contextlib import suppress
from typing import get_args

import pytest

from oomctl.scenario import fields
from oomctl.scenario.fault import FieldError

TYPES = {
    name: each
    for name, found in vars(fields).items()
    for each in get_args(found)[1:]
    if isinstance(each, fields.Key | fields.Before)
}
VALUES = [
    *(11, -1, 2**70, True, -1.5, math.nan, math.inf, "", "x", "é\0\n"),
    *([], [3], ["a", 3], [[]], {}, {"a": 3}, {"": {"a": [None]}}),
    *(datetime.date(2026, 1, 2), datetime.time(3, 4), datetime.datetime(2026, 1, 2)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("name", TYPES)
def test_any_value_is_parsed_or_refused(name, value):
    """A number as the cgroup of a moved hog was a traceback."""
    one = TYPES[name]
    with suppress(FieldError):
        (one.parse if isinstance(one, fields.Key) else one.change)(value)


def test_the_types_are_found():
    assert {"Size", "HogName", "CgroupName", "Sysctls", "SysfsFile", "Target"} <= TYPES.keys()
