"""One log says the same in whatever style it is: an odd comm, and a system-wide report."""

import json

import pytest

from tests.corpus.compose import HERE
from tests.corpus.reading import facts, read
from tests.corpus.styles import styles

OF_STYLE = ("time_us", "when", "host", "caller")
LOGS = ("6.12-comm-dmesg", "6.12-sysrq-dmesg")
STYLED = {f"{name}-{style}": (name, text) for name in LOGS for style, text in styles(name)}


@pytest.mark.parametrize("styled", STYLED)
def test_a_log_says_the_same_in_each_style(styled):
    name, text = STYLED[styled]
    (right,) = json.loads((HERE / f"{name}.json").read_text())
    (found,) = map(facts, read(text))
    assert {field: found[field] for field in right if field not in OF_STYLE} == {
        field: value for field, value in right.items() if field not in OF_STYLE
    }
