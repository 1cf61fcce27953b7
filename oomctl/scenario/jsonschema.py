"""The JSON schema of scenario files, as editors and validators take it."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from oomctl.scenario.model import File


def schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    made = File.model_json_schema(schema_generator=_ForToml)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **made,
        "title": "oomctl scenario",
    }


class _ForToml(GenerateJsonSchema):
    """Leaves out what TOML does not have (null), and defaults that are tables."""

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
