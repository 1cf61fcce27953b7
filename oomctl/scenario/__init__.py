"""Experiments as TOML files describe them. Importing this is cheap; loading a scenario is not."""

from typing import TYPE_CHECKING, Any

from oomctl import lazy
from oomctl.scenario.overrides import vary

if TYPE_CHECKING:
    from oomctl.scenario.jsonschema import schema
    from oomctl.scenario.loader import load, load_all, of_options

__all__ = ["load", "load_all", "of_options", "schema", "vary"]

_MODULES = {"schema": "jsonschema", **dict.fromkeys(["load", "load_all", "of_options"], "loader")}


def __getattr__(name: str) -> Any:
    """Import what needs pydantic when it is used first."""
    if name in _MODULES:
        return lazy.load(f"scenario.{_MODULES[name]}:{name}")
    raise AttributeError(name)
