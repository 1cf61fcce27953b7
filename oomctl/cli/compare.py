"""`oomctl compare`: what changed between two records, such as those of two kernels."""

from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit, UsageError
from oomctl.report import COMPARISON_RENDERERS, ShortFormat
from oomctl.rounds.comparison import compare as compared
from oomctl.rounds.record import read_record


@guarded
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A record of `oomctl run`.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    output_format: Annotated[
        ShortFormat, typer.Option("--format", "-f", help="Form of the result.")
    ] = "table",
    output: options.OutputFile = None,
) -> None:
    """Show what changed between two records, ready to be pasted into a mail (72 columns).

    Scenarios are matched by name and variant. Verdicts, victims, returned values and expectations
    are counted in rounds, and have changed where chance alone would make such a difference in
    fewer than 1 of 100 comparisons (Fisher's exact test, two-sided): a difference that is noise is
    none, and with fewer than 5 rounds on a side nothing can be told. Times and counters are shown,
    not judged.

    \b
    Examples:
      oomctl run examples/recheck.toml --repeat 50 --record old.jsonl    # on one kernel
      oomctl run examples/recheck.toml --repeat 50 --record new.jsonl    # on the other
      oomctl compare old.jsonl new.jsonl

    Exit codes: 0 nothing changed; 1 something did; 2 no record, or nothing to compare.
    """
    with Output(output) as place:
        place.require_apart([first, second])
        runs = []
        for path in (first, second):
            runs.append([section.run for section in read_record(path)])
            for remark in (remark for run in runs[-1] for remark in run.remarks):
                console.note(f"{path}: {remark}")
        found = compared(*runs)
        if not found.pairs:
            raise UsageError(
                f"{first} and {second} have no variant of a scenario in common",
                "compare records of the same scenario file",
            )
        if not any(pair.a.rounds and pair.b.rounds for pair in found.pairs):
            raise UsageError(
                f"{first} and {second} have no rounds of the same variant",
                "compare records with rounds in them",
            )
        place.write(COMPARISON_RENDERERS[output_format](found, (first.name, second.name)))
    raise typer.Exit(Exit.NOT_AS_WANTED if found.changes else Exit.OK)
