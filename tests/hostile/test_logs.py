"""Any text in place of a kernel log: explained, or a line that says that it holds no report."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.report import ShortFormat
from tests.corpus import compose
from tests.hostile.bytes import near
from tests.hostile.ground import cases, count, invoke, valid

LOGS = [
    (compose.HERE / f"{name}.log").read_bytes()
    for name in (
        *("3.10-memcg", "4.14-global", "5.15-cpuset", "6.12-group-kmsg", "7.3-long-kmsg"),
        *("style-journal-json", "style-serial", "style-escaped", "interleaved-callers"),
    )
]
LINES = [line for log in LOGS for line in log.split(b"\n")]
texts = near(*LOGS) | st.lists(near(*LINES) | st.sampled_from(LINES), max_size=30).map(b"\n".join)


@cases(3)
@given(texts, st.sampled_from(get_args(ShortFormat)))
def test_any_log_is_explained_or_has_no_report(harmless, furnished, data, form):
    count("logs explained")
    (furnished / "any.log").write_bytes(data)
    result = valid(invoke("explain", "any.log", "-f", form))
    assert result.exit_code in (0, 1)
    assert result.stdout.replace("\n", "").isprintable()
    if form == "json" and result.stdout:
        json.loads(result.stdout, parse_constant=pytest.fail)
