"""The JSON forms against the committed schema."""

import json
from dataclasses import replace

import pytest
from jsonschema import ValidationError

from oomctl.oom.enums import Basis, EvidenceSource, Moment, Phase, VerdictName, Via
from oomctl.oom.holdings import Holdings
from oomctl.report import RENDERERS
from tests.outcomes import DEFAULT_RUN, OUTCOMES
from tests.schemas import SCHEMAS, validator

SCHEMA = SCHEMAS["schema.json"]
RESULT = validator("schema.json")
LINE = validator("schema.json", "#/$defs/line")


def lines(name):
    return [json.loads(line) for line in RENDERERS["jsonl"](OUTCOMES[name]).splitlines()]


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_result_is_as_the_schema_says(name):
    RESULT.validate(json.loads(RENDERERS["json"](OUTCOMES[name])))


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_line_is_as_the_schema_says_and_complete_by_itself(name):
    found = lines(name)
    assert len(found) == len(OUTCOMES[name].calls)
    for index, line in enumerate(found):
        LINE.validate(line)
        assert line["index"] == index
        assert all(task["call"] == index for task in line["tasks"])


def test_lines_can_be_appended_to_one_another():
    text = RENDERERS["jsonl"](DEFAULT_RUN) * 2
    assert [json.loads(line)["verdict"] for line in text.splitlines()] == ["killed", "killed"]


@pytest.mark.parametrize(
    ("names", "enum"),
    [
        (SCHEMA["$defs"]["verdict"], VerdictName),
        (SCHEMA["$defs"]["evidence"]["properties"]["source"], EvidenceSource),
        (SCHEMA["$defs"]["stamp"]["properties"]["name"], Moment),
        (SCHEMA["$defs"]["call"]["properties"]["via"], Via),
        (SCHEMA["$defs"]["reason"]["properties"]["basis"], Basis),
        (SCHEMA["$defs"]["task"]["properties"]["phase"], [*Phase, None]),
    ],
)
def test_the_schema_has_the_names_of_the_model(names, enum):
    assert names["enum"] == [*enum]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.pop("samples"),
        lambda tree: tree.update(more=1),
        lambda tree: tree["calls"][0].update(ret="1"),
        lambda tree: tree["calls"][0]["evidence"].update(source="hearsay"),
        lambda tree: tree["calls"][0]["timeline"][0].update(after_call_ns=-1),
        lambda tree: tree["tasks"][0].update(badness=1.5),
    ],
)
def test_the_schema_is_strict(spoil):
    tree = json.loads(RENDERERS["json"](OUTCOMES["observed"]))
    spoil(tree)
    with pytest.raises(ValidationError):
        RESULT.validate(tree)


def test_what_is_not_known_is_null():
    call = json.loads(RENDERERS["json"](DEFAULT_RUN))["calls"][0]
    assert call["prediction"] is None
    assert call["pressure"] is None
    assert call["evidence"]["seen"] is None
    assert call["evidence"]["agree"] is None


def test_the_prediction_of_a_call_that_chose_no_task_was_not_tested():
    first, second = (line["call"]["prediction"] for line in lines("observed"))
    assert (first["agrees"], second["agrees"]) == (True, None)
    assert lines("wrong")[0]["call"]["prediction"]["agrees"] is False


def test_what_a_hog_holds_is_as_the_schema_says_and_noted_where_it_differs():
    holds = Holdings("cgroup", file=0, shmem=64 << 20, kernel=9, differs="holds 0 of page cache")
    *others, large = DEFAULT_RUN.tasks
    outcome = replace(DEFAULT_RUN, tasks=(*others, replace(large, kind="file", holds=holds)))
    tree = json.loads(RENDERERS["json"](outcome))
    RESULT.validate(tree)
    assert tree["tasks"][-1]["holds"]["shmem_bytes"] == 64 << 20
    assert [task["holds"] for task in tree["tasks"][:-1]] == [None, None]
    assert "the hog 'large' holds 0 of page cache" in RENDERERS["table"](outcome)
