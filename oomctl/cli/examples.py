"""`oomctl examples`: the scenarios that oomctl brings, to be listed, read and copied."""

import json
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console, resources
from oomctl.cli import completion, options
from oomctl.cli.command import command
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.report import PlainFormat
from oomctl.scenario.fault import nearest
from oomctl.text import counted


@dataclass(frozen=True)
class ExamplesOptions:
    """The options of `oomctl examples`; UsageError if a name is that of none."""

    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Print this example.", autocompletion=completion.examples
        ),
    ] = None
    copy: Annotated[
        Path | None,
        options.value(
            "DIR",
            "Write every example, or the named one, into this folder; replace no file.",
            file_okay=False,
        ),
    ] = None
    form: Annotated[PlainFormat | None, options.form(PlainFormat, "[default: table]")] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.copy is not None:
            options.refuse(self, "--copy prints nothing", {"name", "copy"})
        if self.name is not None:
            options.refuse(self, "an example is TOML", {"name", "copy", "output"})


@command("listed, printed or copied")
def examples(given: ExamplesOptions) -> None:
    """List, print or copy the scenarios that oomctl brings.

    Examples:
      oomctl examples
      oomctl examples largest-dies
      oomctl examples --copy examples && oomctl run examples/largest-dies.toml
    """
    found = {path.stem: path for path in resources.examples() if path.suffix == ".toml"}
    chosen = None
    if given.name is not None:
        chosen = found.get(given.name.removesuffix(".toml"))
        if chosen is None:
            near = nearest(given.name, found)
            hint = f"did you mean {near}?" if near else "`oomctl examples` lists them"
            raise UsageError(f"{given.name!r} is not the name of an example", hint)
    if given.copy is not None:
        _copy([chosen] if chosen else [*resources.examples()], given.copy)
        return
    with Output(given.output) as place:
        if chosen:
            place.write(chosen.read_text())
            return
        about = {
            stem: tomllib.loads(path.read_text())["description"] for stem, path in found.items()
        }
        if given.form == "json":
            listed = [{"name": stem, "description": text} for stem, text in about.items()]
            place.write(json.dumps(listed, indent=2) + "\n")
        else:
            place.write("".join(f"{line}\n" for line in _listed(about, place.width)))


def _listed(about: dict[str, str], width: int | None) -> Iterator[str]:
    """Yield a line for each example; on a terminal the description is wrapped beside its name."""
    column = max(map(len, about)) + 2
    for name, text in about.items():
        line = name.ljust(column) + text
        if width is None:
            yield line
        else:
            yield from textwrap.wrap(line, max(width, 2 * column), subsequent_indent=" " * column)


def _copy(sources: list[Path], folder: Path) -> None:
    """Write files into a folder; UsageError if a file of that name has other contents."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"--copy {folder}: {error.strerror}"
        raise UsageError(why, "name a folder that you can write to") from None
    for source in sources:
        target = folder / source.name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise UsageError(f"{target} is there already, with other contents", "name a new folder")
    for source in sources:
        if not (folder / source.name).exists():
            with open(folder / source.name, "xb") as file:
                file.write(source.read_bytes())
    console.note(f"{counted(len(sources), 'file')} in {folder}")
