"""`oomctl examples`: the scenarios that oomctl brings, to be listed, read and copied."""

import json
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from oomctl import console, resources
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.scenario.fault import nearest
from oomctl.text import counted


def _names() -> list[str]:
    return [path.stem for path in resources.examples() if path.suffix == ".toml"]


@guarded
def examples(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Print this example.",
            autocompletion=lambda incomplete: [n for n in _names() if n.startswith(incomplete)],
        ),
    ] = None,
    copy: Annotated[
        Path | None,
        typer.Option(
            "--copy",
            metavar="DIR",
            file_okay=False,
            help="Write every example, or the named one, into this folder; replace no file.",
        ),
    ] = None,
    output_format: Annotated[
        Literal["table", "json"], typer.Option("--format", "-f", help="Form of the list.")
    ] = "table",
    output: options.OutputFile = None,
) -> None:
    """List the scenarios that oomctl brings; print one, or copy them to be changed.

    \b
    Examples:
      oomctl examples
      oomctl examples largest-dies
      oomctl examples --copy examples && oomctl run examples/largest-dies.toml

    Exit codes: 0 done; 2 usage, such as a name that no example has; 4 a file cannot be written.
    """
    found = {path.stem: path for path in resources.examples() if path.suffix == ".toml"}
    if name is not None and name.removesuffix(".toml") not in found:
        near = nearest(name, found)
        hint = f"did you mean {near}?" if near else "`oomctl examples` lists them"
        raise UsageError(f"{name!r} is not the name of an example", hint)
    chosen = None if name is None else found[name.removesuffix(".toml")]
    if copy is not None:
        _copy([chosen] if chosen else [*resources.examples()], copy)
        return
    with Output(output) as place:
        if chosen:
            place.write(chosen.read_text())
            return
        about = {
            stem: tomllib.loads(path.read_text())["description"] for stem, path in found.items()
        }
        if output_format == "json":
            listed = [{"name": stem, "description": text} for stem, text in about.items()]
            place.write(json.dumps(listed, indent=2) + "\n")
        else:
            place.write("".join(f"{line}\n" for line in _listed(about, place.width or 80)))


def _listed(about: dict[str, str], width: int) -> Iterator[str]:
    """Yield a line for each example, the description wrapped beside its name."""
    column = max(map(len, about)) + 2
    for name, text in about.items():
        yield from textwrap.wrap(
            text,
            max(width, 2 * column),
            initial_indent=name.ljust(column),
            subsequent_indent=" " * column,
        )


def _copy(sources: list[Path], folder: Path) -> None:
    """Write files into a folder; UsageError if a file of that name has other contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        target = folder / source.name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise UsageError(f"{target} is there already, with other contents", "name a new folder")
    for source in sources:
        if not (folder / source.name).exists():
            with open(folder / source.name, "xb") as file:
                file.write(source.read_bytes())
    console.note(f"{counted(len(sources), 'file')} in {folder}")
