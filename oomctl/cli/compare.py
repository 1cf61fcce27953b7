"""`oomctl compare`: what changed between two records, such as those of two kernels."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import completion, forms, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import value
from oomctl.errors import Exit, UsageError
from oomctl.report import COMPARISON_RENDERERS, ShortFormat
from oomctl.rounds.comparison import Comparison
from oomctl.rounds.comparison import compare as compared
from oomctl.rounds.record import read_record
from oomctl.text import cut

_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)%", re.ASCII)


def _percent(text: str | float) -> float:
    """Parse a percentage such as 10% into a share."""
    if isinstance(text, float):
        return text
    if not (found := _PERCENT.fullmatch(text)):
        raise typer.BadParameter(f"{cut(text)!r} is not a percentage; write such as 10%")
    return float(found[1]) / 100


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
    max_slowdown: Annotated[
        float | None,
        value(
            "PERCENT",
            "Judge times too: exit with 1 if one is longer in B by more than this, such as 10%, "
            "beyond chance.",
            _percent,
        ),
    ] = None
    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
    output: options.OutputFile = None


@command(
    "nothing changed",
    "something changed, or is slower than --max-slowdown allows",
    environment=[CACHE],
)
def compare(given: CompareOptions) -> None:
    """Show what changed between two records.

    The text fits a mail (72 columns). Options of the runs that differ are listed first. Scenarios
    are matched by name and variant. Verdicts, victims, returned values and expectations are counted
    in rounds (Fisher's exact test), times are compared by the medians of rounds (Mann-Whitney). The
    chances are corrected for the number of rows (Holm): if nothing differs, at most 1 of 20
    comparisons reports a change, however many variants there are. Times fail the comparison only
    with --max-slowdown; counters are shown, not judged.

    Examples:
      oomctl run examples/recheck.toml --repeat 50 --record old.jsonl    # on one kernel
      oomctl run examples/recheck.toml --repeat 50 --record new.jsonl    # on the other
      oomctl compare old.jsonl new.jsonl
      oomctl compare old.jsonl new.jsonl --max-slowdown 10%
    """
    records = given.first, given.second
    with forms.Places(forms.of(given.formats), given.output) as places:
        places.require_apart(records)
        found = _compared(records, given.max_slowdown)
        names = (given.first.name, given.second.name)
        about = (found, names)
        kept.keep("compare", lambda: COMPARISON_RENDERERS["json"](*about))
        places.write(COMPARISON_RENDERERS, *about)
        kept.next_step(given.formats)
    raise typer.Exit(Exit.OK if found.same else Exit.NOT_AS_WANTED)


def render(records: tuple[Path, Path], form: ShortFormat) -> str:
    """Return the comparison of two records; UsageError if they have nothing in common."""
    return COMPARISON_RENDERERS[form](_compared(records), (records[0].name, records[1].name))


def _compared(records: tuple[Path, Path], allowed: float | None = None) -> Comparison:
    first, second = records
    runs = []
    for path in records:
        runs.append([section.run for section in read_record(path)])
        for remark in (remark for run in runs[-1] for remark in run.remarks):
            console.note(f"{path}: {remark}")
    found = compared(runs[0], runs[1], allowed)
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
