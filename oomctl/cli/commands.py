"""The commands by name, each imported only when it is asked for: together they take long."""

from collections import UserDict
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

_PLACES = {
    "declare": "declare:declare",
    "run": "run:run",
    "report": "report:report",
    "compare": "compare:compare",
    "predict": "predict:predict",
    "watch": "watch:watch",
    "doctor": "doctor:doctor",
    "clean": "clean:clean",
    "smoke": "smoke:app",
    "scenario": "scenario:app",
    "examples": "examples:examples",
    "kfunc": "kfunc:app",
    "lab": "lab:app",
}


class Commands(UserDict[str, Any]):
    """Typer's commands; in place of one that was not asked for yet stands where it is."""

    def __init__(self) -> None:
        super().__init__(_PLACES)

    def __getitem__(self, name: str) -> Any:
        """Return a command, imported if need be."""
        if isinstance(self.data[name], str):
            self.data[name] = _imported(name, self.data[name])
        return self.data[name]


def _imported(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"oomctl.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        found = alone
    command = get_command(found)
    command.name = name
    return command
