"""`oomctl report`: the rounds that `oomctl run` recorded, as statistics again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import completion, options
from oomctl.cli.command import command
from oomctl.cli.output import Output
from oomctl.report import RUN_RENDERERS, RunFormat
from oomctl.rounds.record import read_record
from oomctl.rounds.run import exit_of


@dataclass(frozen=True)
class ReportOptions:
    """The options of `oomctl report`."""

    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A record of `oomctl run`; - is stdin.",
            autocompletion=completion.records,
        ),
    ]
    form: Annotated[RunFormat, options.form(RunFormat)] = "table"
    output: options.OutputFile = None


@command(
    "every expectation held, or there was none",
    "one did not hold, or --until-differs found a difference",
)
def report(given: ReportOptions) -> None:
    """Show the statistics of a record, as its run printed them.

    It needs neither root nor the kfunc. A record that still grows, or that a crash cut short, is
    shown as far as it goes, without half a line at its end. Records that were joined with `cat`
    are shown one after the other.

    Examples:
      oomctl run examples/soak.toml --repeat 50 --record soak.jsonl
      oomctl report soak.jsonl
      oomctl report soak.jsonl --format json -o soak.json
    """
    with Output(given.output) as place:
        place.require_apart([given.file])
        sections = read_record(given.file)
        for section in sections:
            for remark in section.run.remarks:
                console.note(f"{given.file}: {remark}")
        place.write(RUN_RENDERERS[given.form](sections))
    raise typer.Exit(exit_of(section.run for section in sections))
