"""The JSON schemas: described, closed, in one layout, and with the values that the model has."""

import json
from enum import EnumType
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from oomctl.doctor.examination import State
from oomctl.oom.enums import Context, FlipKind, HostPhase, Phase, Until, Via
from oomctl.rounds.run import Why
from oomctl.rounds.statistics import NOT_WAITING, WAITING
from tests.schemas import FOLDER, NAMES, SCHEMAS, formatted

UNITS = {"_ns": "nanoseconds", "_us": "microseconds", "_bytes": "ytes"}


def parts(schema):
    yield schema
    for below in schema.values():
        for each in below if isinstance(below, list) else [below]:
            if isinstance(each, dict):
                yield from parts(each)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_has_the_one_layout(name, request):
    text = f"{formatted(SCHEMAS[name])}\n"
    assert json.loads(text) == SCHEMAS[name]
    if request.config.getoption("--update-golden"):
        (FOLDER / name).write_text(text)
    assert (FOLDER / name).read_text() == text, "if this is wanted: pytest --update-golden"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_schema_that_is_found_by_its_name(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == name


def test_every_field_of_a_result_is_described_and_no_object_is_open():
    for part in parts(SCHEMAS["schema.json"]):
        for name, field in part.get("properties", {}).items():
            if isinstance(field, dict) and part.get("additionalProperties") is not None:
                assert field.get("description", "").endswith("."), name
                for unit, word in UNITS.items():
                    assert not name.endswith(unit) or word in field["description"].lower(), name
        if part.get("type") == "object":
            assert "additionalProperties" in part


def test_every_field_of_a_run_is_described():
    for part in parts(SCHEMAS["run-schema.json"]):
        for name, field in part.get("properties", {}).items():
            if isinstance(field, dict):
                assert "description" in field or name in "ab" or "type" not in field, name


def enums(schema, field):
    return [
        part["properties"][field]["enum"]
        for part in parts(schema)
        if "enum" in part.get("properties", {}).get(field, {})
    ]


def values(kind):
    return [*kind] if isinstance(kind, EnumType) else [*get_args(kind)]


@pytest.mark.parametrize(
    ("name", "field", "wanted"),
    [
        ("schema.json", "via", values(Via)),
        ("run-schema.json", "via", values(Via)),
        ("schema.json", "context", values(Context)),
        ("run-schema.json", "context", values(Context)),
        ("run-schema.json", "until", values(Until)),
        ("run-schema.json", "why", values(Why)),
        ("run-schema.json", "callers", [WAITING, NOT_WAITING]),
        ("schema.json", "phase", [*values(Phase), None]),
        ("schema.json", "kind", values(FlipKind)),
        ("doctor-schema.json", "state", values(State)),
        ("fleet-schema.json", "state", values(HostPhase)),
    ],
)
def test_the_values_of_a_field_are_those_of_the_model(name, field, wanted):
    found = enums(SCHEMAS[name], field)
    assert found
    assert all(enum == wanted for enum in found)
