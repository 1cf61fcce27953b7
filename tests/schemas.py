"""The JSON schemas of the package: read, resolved by name, and written in one layout."""

import json
from importlib.resources import files

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = files("oomctl.report")
NAMES = (
    "schema.json",
    "run-schema.json",
    "doctor-schema.json",
    "watch-schema.json",
    "explain-schema.json",
    "smoke-schema.json",
    "lab-schema.json",
    "fleet-schema.json",
    "fuzz-schema.json",
)
SCHEMAS = {name: json.loads((FOLDER / name).read_text()) for name in NAMES}
REGISTRY = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
_WIDTH = 100


def validator(name, part=""):
    """Return a validator of a schema, or of a part of it such as "#/$defs/line"."""
    return Draft202012Validator({"$ref": f"{name}{part}"}, registry=REGISTRY)


def formatted(value, indent=0, used=0):
    """Write JSON so that what fits into a line stands on one; `used` columns are taken already."""
    text = json.dumps(value, ensure_ascii=False)
    if used + len(text) < _WIDTH or not isinstance(value, dict | list):
        return text
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        keys = [f"{pad}{json.dumps(key)}: " for key in value]
        below = [
            key + formatted(each, indent + 2, len(key))
            for key, each in zip(keys, value.values(), strict=True)
        ]
    elif all(isinstance(each, str) for each in value):
        below = [pad + line for line in _filled(map(json.dumps, value), _WIDTH - len(pad) - 1)]
    else:
        below = [pad + formatted(each, indent + 2, indent + 2) for each in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([begin, ",\n".join(below), f"{' ' * indent}{end}"])


def _filled(items, width):
    """Yield lines of items, as many in each as fit."""
    line = ""
    for item in items:
        if line and len(f"{line}, {item}") > width:
            yield line
            line = ""
        line = f"{line}, {item}" if line else item
    yield line
