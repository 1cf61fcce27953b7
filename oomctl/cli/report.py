"""`oomctl report`: the rounds that `oomctl run` recorded, as statistics again."""

from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.report import RUN_RENDERERS, RunFormat
from oomctl.rounds.record import read_record
from oomctl.rounds.run import exit_of


@guarded
def report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A record of `oomctl run`, - is stdin.")
    ],
    output_format: Annotated[
        RunFormat, typer.Option("--format", "-f", help="Form of the result.")
    ] = "table",
    output: options.OutputFile = None,
) -> None:
    """Show the statistics of a record: the same that its run printed. Needs neither root nor kfunc.

    A record that is still growing, or that a crash cut short, is shown as far as it goes; half a
    line at its end is left out. Records joined with `cat` are shown one after the other.

    \b
    Examples:
      oomctl run examples/soak.toml --repeat 50 --record soak.jsonl
      oomctl report soak.jsonl
      oomctl report soak.jsonl --format json -o soak.json

    Exit codes, as of the run: 0 all that was expected held, or nothing was expected; 1 some did
    not, or --until-differs found a difference; 2 no record; 3 not a round of a scenario ran.
    """
    with Output(output) as place:
        place.require_apart([file])
        sections = read_record(file)
        for section in sections:
            for remark in section.run.remarks:
                console.note(f"{file}: {remark}")
        place.write(RUN_RENDERERS[output_format](sections))
    raise typer.Exit(exit_of(section.run for section in sections))
