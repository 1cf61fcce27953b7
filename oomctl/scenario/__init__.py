"""Experiments as TOML files describe them. Importing this is cheap; loading a scenario is not."""

from typing import TYPE_CHECKING, Any

from oomctl import lazy

if TYPE_CHECKING:
    from oomctl.scenario.jsonschema import schema
    from oomctl.scenario.loader import load, load_all
    from oomctl.scenario.overrides import vary
    from oomctl.scenario.scenario import of_options

__all__ = ["load", "load_all", "of_options", "schema", "vary"]

_MODULES = {
    "schema": "jsonschema",
    "load": "loader",
    "load_all": "loader",
    "of_options": "scenario",
    "vary": "overrides",
}


def __getattr__(name: str) -> Any:
    """Import a part when it is used first; those that read files need pydantic."""
    if name in _MODULES:
        return lazy.load(f"scenario.{_MODULES[name]}:{name}")
    raise AttributeError(name)
