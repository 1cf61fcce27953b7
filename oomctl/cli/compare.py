"""`oomctl compare`: what changed between two records, such as those of two kernels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import completion, options
from oomctl.cli.command import command
from oomctl.cli.output import Output
from oomctl.errors import Exit, UsageError
from oomctl.report import COMPARISON_RENDERERS, ShortFormat
from oomctl.rounds.comparison import Comparison
from oomctl.rounds.comparison import compare as compared
from oomctl.rounds.record import read_record


@dataclass(frozen=True)
class CompareOptions:
    """The options of `oomctl compare`."""

    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="A record of `oomctl run`.", autocompletion=completion.records
        ),
    ]
    second: Annotated[
        Path,
        typer.Argument(metavar="B", help="Another record.", autocompletion=completion.records),
    ]
    form: Annotated[ShortFormat, options.form(ShortFormat)] = "table"
    output: options.OutputFile = None


@command("nothing changed", "something changed")
def compare(given: CompareOptions) -> None:
    """Show what changed between two records.

    The text fits a mail (72 columns). Scenarios are matched by name and variant. Verdicts, victims,
    returned values and expectations are counted in rounds. A count has changed if chance alone
    would make such a difference in fewer than 1 of 100 comparisons (Fisher's exact test,
    two-sided), so noise is not reported; with fewer than 5 rounds on a side there is no answer.
    Times and counters are shown, not judged.

    Examples:
      oomctl run examples/recheck.toml --repeat 50 --record old.jsonl    # on one kernel
      oomctl run examples/recheck.toml --repeat 50 --record new.jsonl    # on the other
      oomctl compare old.jsonl new.jsonl
    """
    records = given.first, given.second
    with Output(given.output) as place:
        place.require_apart(records)
        found = _compared(records)
        place.write(_rendered(found, records, given.form))
    raise typer.Exit(Exit.NOT_AS_WANTED if found.changes else Exit.OK)


def render(records: tuple[Path, Path], form: ShortFormat) -> str:
    """Return the comparison of two records; UsageError if they have nothing in common."""
    return _rendered(_compared(records), records, form)


def _rendered(found: Comparison, records: tuple[Path, Path], form: ShortFormat) -> str:
    return COMPARISON_RENDERERS[form](found, (records[0].name, records[1].name))


def _compared(records: tuple[Path, Path]) -> Comparison:
    first, second = records
    runs = []
    for path in records:
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
    return found
