"""The JSON schema of scenario files, for editors and validators.

It has every rule about the keys of a single table. tests/scenario_documents.py lists the rules that
a JSON schema cannot express.
"""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from oomctl.oom.enums import KFUNC_VIAS, Via
from oomctl.scenario.fields import DEFINITIONS
from oomctl.scenario.model import File, Hog, key_of
from oomctl.scenario.rules.calls import HAVE_AN_AMOUNT, NEED_A_CGROUP, OF_A_DECLARATION
from oomctl.scenario.rules.expect import OF_NO_CALL, VERDICTS_OF_NO_CALL
from oomctl.scenario.rules.hogs import KINDS_OF
from oomctl.scenario.rules.steps import KEYS

_BESIDE = ("description", "default")
"""Keywords that a property has in addition to the name of its definition."""


def schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    made = _referring(TypeAdapter(File).json_schema(schema_generator=_ForToml))
    tables = made.pop("$defs")
    tables["Hog"]["allOf"] = list(_of_a_hog())
    tables["Call"]["allOf"] = list(_of_a_call())
    tables["Step"]["allOf"] = [{"anyOf": [_given(key) for key in KEYS]}]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$defs": {**tables, **DEFINITIONS},
        **made,
        "title": "oomctl scenario",
        "minProperties": 1,
        "allOf": [_of_no_call()],
    }


def _given(*keys: str, **values: Any) -> dict[str, Any]:
    """Return the schema of tables that have all of these keys, some with one of these values."""
    properties = {key: {"enum": list(some)} for key, some in values.items()}
    return {"required": [*keys, *values], "properties": properties}


def _at_most(**values: Any) -> dict[str, Any]:
    """Return the schema of tables whose keys, if given, have one of these values."""
    return {"properties": {key: {"enum": list(some)} for key, some in values.items()}}


def _of_a_hog() -> Iterator[dict[str, Any]]:
    usual = Hog.kind
    for key, kinds in KINDS_OF.items():
        flag = getattr(Hog, key) is False
        given = _given(**{key: [True]}) if flag else _given(key)
        yield {"if": given, "then": (_at_most if usual in kinds else _given)(kind=kinds)}
    yield {"if": _given(kind=["shared"]), "then": _given("sharer")}


def _of_a_call() -> Iterator[dict[str, Any]]:
    system_wide = {"global": [True]}
    yield {"not": _given("target", **system_wide)}
    yield {"not": _given("wait", "flags")}
    yield {"not": _given(via=NEED_A_CGROUP, **system_wide)}
    yield {"if": _given(via=[Via.SYSRQ]), "then": _given(**system_wide)}
    yield {"if": _given("amount"), "then": _given(via=HAVE_AN_AMOUNT)}
    for key in OF_A_DECLARATION:
        yield {"if": _given(key), "then": _at_most(via=KFUNC_VIAS)}
    yield {"if": _given("stall"), "then": _given(via=[Via.PSI])}
    yield {"if": _given("recheck"), "then": _at_most(via=[Via.BPF], wait=[False])}
    yield {"not": _given("recheck", "flags")}
    yield {"not": _given("recheck", **system_wide)}


def _of_no_call() -> dict[str, Any]:
    none = {"type": "array", "maxItems": 0}
    nothing = {"type": "object", "maxProperties": 0}
    known = {"enum": list(VERDICTS_OF_NO_CALL)}
    array: dict[str, Any] = {"type": "array"}
    verdict = {"anyOf": [known, {**array, "contains": known}]}
    expect = {"properties": {**dict.fromkeys(OF_NO_CALL, nothing), "verdict": verdict}}
    return {
        "if": {"required": ["call"], "properties": {"call": none}},
        "then": {"properties": {"expect": expect}},
    }


def _referring(made: Any) -> Any:
    """Replace the names of DEFINITIONS by references to them."""
    if isinstance(made, list):
        return [_referring(each) for each in made]
    if not isinstance(made, dict):
        return made
    if made.get("title") in DEFINITIONS:
        beside = {key: made[key] for key in _BESIDE if key in made}
        return {"$ref": f"#/$defs/{made['title']}", **beside}
    return {key: _referring(each) for key, each in made.items()}


def descriptions(table: type) -> Iterator[tuple[str, str]]:
    """Yield the keys of a table that have a docstring, and that, from the source of its class."""
    (made,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(made, ast.ClassDef)  # noqa: S101
    for field, text in pairwise(made.body):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                yield key_of(name), inspect.cleandoc(said)


class _ForToml(GenerateJsonSchema):
    """Leaves out null, which TOML does not have, and defaults that are tables."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        for key, text in descriptions(schema["cls"]):
            made["properties"][key]["description"] = text
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if isinstance(default, (bool, int, float, str)) and default != "":
            return {**inner, "default": default}
        return inner

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        return {
            "type": "object",
            "additionalProperties": self.generate_inner(schema["values_schema"]),
            "propertyNames": self.generate_inner(schema["keys_schema"]),
        }

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
