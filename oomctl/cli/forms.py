"""The option --format of results: a form, or several, each with the place where it goes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import typer

from oomctl.cli.options import value
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.report import render
from oomctl.text import cut

_MORE = "With =FILE it goes there; may be repeated, as -f table -f html=page.html."


@dataclass(frozen=True)
class Target:
    """A form, and the file that it goes to; None is --output, else stdout."""

    form: str
    path: Path | None = None


def option(known: Any, more: str = "", default: str = "table") -> Any:
    """Return the option --format with the forms of a Literal, each once or with its file."""
    names = get_args(known)

    def parse(text: str | Target) -> Target:
        if isinstance(text, Target):
            return text
        form, equals, name = text.partition("=")
        if form not in names:
            raise typer.BadParameter(f"{cut(form)!r} is not one of {', '.join(names)}")
        if equals and not name:
            raise typer.BadParameter(f"it names no file; write {form}=FILE")
        return Target(form, Path(name) if name else None)

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    *first, last = names
    shown = f" [default: {default}]" if default else ""
    text = " ".join(filter(None, [f"{', '.join(first)} or {last}.", _MORE, more]))
    return value(
        "FORM[=FILE]",
        f"Form of the result: {text}{shown}",
        parse,
        *("--format", "-f"),
        autocompletion=complete,
    )


def require(found: Iterable[Target], possible: Iterable[str], why: str) -> None:
    """Raise UsageError if a form is none of those that are possible here."""
    for target in found:
        if target.form not in possible:
            raise UsageError(f"--format {target.form}: {why}", f"take {' or '.join(possible)}")


Given = list[Target] | None
"""What --format has given; None if it is not there."""


def of(given: Given, default: str = "table") -> Sequence[Target]:
    """Return the forms that are wanted."""
    return given or [Target(default)]


class Places:
    """Where the forms of a result go; files appear whole or not at all."""

    def __init__(self, found: Sequence[Target], output: Path | None = None) -> None:
        """Take forms, and --output; UsageError if two would go to the same place."""
        self._stack = ExitStack()
        self._places = [
            (each.form, Output(each.path, "--format") if each.path else Output(output))
            for each in found
        ]
        paths = [each.path or output for each in found]
        for path in paths:
            if paths.count(path) > 1:
                where = "stdout" if path is None else path
                raise UsageError(f"two forms go to {where}", "name another file: -f html=FILE")

    def __enter__(self) -> Self:
        """Make sure that each has somewhere to go; UsageError if not."""
        with ExitStack() as stack:
            for _form, place in self._places:
                stack.enter_context(place)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the files."""
        self._stack.close()

    def __iter__(self) -> Iterator[tuple[str, Output]]:
        return iter(self._places)

    def require_apart(self, read: Sequence[Path]) -> None:
        """Raise UsageError if a form would go into a file that the command reads."""
        for _form, place in self._places:
            place.require_apart(read)

    def write(self, renderers: Mapping[str, Callable[..., str]], *about: object) -> None:
        """Write a result in each of the forms; OomctlError if the disk is full."""
        for form, place in self._places:
            place.write(render(renderers, form, *about, terminal=place.width))
