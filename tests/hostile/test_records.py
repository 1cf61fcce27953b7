"""Any record of a run, and any outcome: a report in every form, or a line that says why not."""

import dataclasses
import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.verdict import Verdict
from oomctl.report import RENDERERS, RUN_RENDERERS
from oomctl.text import printable
from tests.hostile.bytes import near
from tests.hostile.ground import cases, count, invoke, valid
from tests.hostile.pool import NUMBERS, TERMINAL
from tests.outcomes import OUTCOMES
from tests.rounds import RECORDS
from tests.unit.report.pages import RESULTS

FORMS = st.sampled_from([*RUN_RENDERERS])
LINES = [line.encode() for text in RECORDS.values() for line in text.splitlines(keepends=True)]
WRONG = [
    *(None, True, -1, 0, 1 << 63, 1 << 64, 10**400, 1e300, 1.5, "", [], {}, [[]], {"a": 1}),
    *(float("nan"), float("inf"), "large", *TERMINAL, "\ud800", "é", "\x9b", *NUMBERS),
]


def places(value, path=()):
    """Yield the path of everything inside of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in items:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


@st.composite
def changed_lines(draw):
    """The lines of a record, with a few values replaced, renamed or taken away."""
    lines = [json.loads(line) for line in draw(st.sampled_from([*RECORDS.values()])).splitlines()]
    lines = lines[: draw(st.integers(1, 3))] + lines[-1:]
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.sampled_from(lines))
        path = draw(st.sampled_from([*places(line)] or [("kind",)]))
        at = line
        for part in path[:-1]:
            at = at[part]
        value = deepcopy(draw(st.sampled_from(WRONG)))
        if isinstance(at, dict) and draw(st.booleans()):
            at[draw(st.sampled_from([*TERMINAL, "é"]))] = at.pop(path[-1])
        else:
            at[path[-1]] = value
    written = (json.dumps(line, ensure_ascii=draw(st.booleans())) for line in lines)
    return "".join(f"{line}\n" for line in written).encode("utf-8", "surrogatepass")


spoiled = st.lists(near(*LINES[:3], LINES[-1]), min_size=1, max_size=4).map(b"".join)
records = changed_lines() | changed_lines() | spoiled | st.binary(max_size=99)


@cases(7)
@given(records, FORMS)
def test_any_record_is_reported_or_refused(harmless, furnished, data, form):
    count("records reported")
    (furnished / "any.jsonl").write_bytes(data)
    result = valid(invoke("report", "any.jsonl", "-f", form))
    if form == "json" and result.stdout:
        json.loads(result.stdout, parse_constant=pytest.fail)


@cases(2)
@given(records, st.sampled_from(["table", "json", "markdown"]))
def test_any_record_is_compared_or_refused(harmless, furnished, data, form):
    count("records compared")
    (furnished / "any.jsonl").write_bytes(data)
    valid(invoke("compare", "record.jsonl", "any.jsonl", "-f", form))


@st.composite
def changed_results(draw):
    """A result of any command in JSON, with some values replaced or taken away."""
    renderers, form, about = RESULTS[draw(st.sampled_from([*RESULTS]))]
    lines = [json.loads(line) for line in draw_whole("".join(renderers[form](*about)))]
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.sampled_from(lines))
        path = draw(st.sampled_from([*places(line)]))
        at = line
        for part in path[:-1]:
            at = at[part]
        if isinstance(at, dict) and draw(st.booleans()):
            del at[path[-1]]
        else:
            at[path[-1]] = deepcopy(draw(st.sampled_from(WRONG)))
    if len(lines) == 1:
        return json.dumps(lines[0], indent=2).encode("utf-8", "surrogatepass")
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def draw_whole(text):
    """Return the JSON texts of a result: one that is indented, or a line each."""
    return [text] if text.startswith("{\n") else text.splitlines()


@cases(4)
@given(changed_results(), st.sampled_from(["table", "json", "markdown", "html", "csv"]))
def test_any_result_is_shown_again_or_refused(harmless, furnished, data, form):
    count("results shown again")
    (furnished / "any.json").write_bytes(data)
    valid(invoke("report", "any.json", "-f", form), range(256))  # those of the hosts of a fleet


OWN_WORDS = {"via", "source", "kind", "stage", "errno_name"}  # never of another kind


def spoil(draw, value):
    """Replace some texts of an outcome, wherever they are in it, by hostile ones."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        kept = OWN_WORDS | ({"name"} if isinstance(value, Verdict) else set())
        made = {name: each if name in kept else spoil(draw, each) for name, each in fields.items()}
        return dataclasses.replace(value, **made)
    match value:
        case str() if value and draw(st.integers(0, 3)) == 0:
            return value + draw(st.sampled_from(TERMINAL))
        case tuple() if not hasattr(value, "_fields"):
            return tuple(spoil(draw, each) for each in value)
        case dict():
            return {spoil(draw, key): spoil(draw, each) for key, each in value.items()}
    return value


@cases(3)
@given(st.data(), st.sampled_from([*RENDERERS]), st.sampled_from([*OUTCOMES]))
def test_any_name_in_an_outcome_is_escaped_in_every_form(data, form, name):
    count("outcomes with hostile names")
    text = RENDERERS[form](spoil(data.draw, OUTCOMES[name]))
    raw = {char for char in text if char != "\n" and printable(char) != char}
    assert not raw, f"{raw!r} in {form}"
