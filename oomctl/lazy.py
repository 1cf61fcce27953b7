"""What is imported only when it is used: all of oomctl together takes long to start."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def load(place: str) -> Any:
    """Return what `module:name` names, in a module of oomctl."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"oomctl.{module}"), name)


def function(place: str) -> Callable[..., Any]:
    """Return a function that loads and calls the one that `module:name` names."""
    return lambda *arguments: load(place)(*arguments)
