"""`oomctl report`: results that were saved, in any form, and in several at once."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from oomctl import commandline
from oomctl.cli import completion, forms, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.saved import Kind, Saved, read_all, telling_malformed
from oomctl.errors import Exit, UsageError
from oomctl.fleet.hosts import worst
from oomctl.report import (
    COMPARISON_RENDERERS,
    DOCTOR_RENDERERS,
    EXPLANATION_RENDERERS,
    FLEET_RENDERERS,
    FUZZ_RENDERERS,
    KERNELS_RENDERERS,
    KILLS_RENDERERS,
    PREDICTION_RENDERERS,
    RENDERERS,
    RUN_RENDERERS,
    SMOKE_RENDERERS,
    SUITES_RENDERERS,
    Format,
    render,
)
from oomctl.rounds.run import exit_of

_RENDERERS: Mapping[Kind, Mapping[str, Callable[..., Any]]] = {
    Kind.OUTCOMES: RENDERERS,
    Kind.ROUNDS: RUN_RENDERERS,
    Kind.SUITES: SMOKE_RENDERERS,
    Kind.KILLS: KILLS_RENDERERS,
    Kind.COMPARISONS: COMPARISON_RENDERERS,
    Kind.PREDICTIONS: PREDICTION_RENDERERS,
    Kind.EXPLANATIONS: EXPLANATION_RENDERERS,
    Kind.EXAMINATIONS: DOCTOR_RENDERERS,
    Kind.KERNELS: KERNELS_RENDERERS,
    Kind.KERNEL_SUITES: SUITES_RENDERERS,
    Kind.FLEETS: FLEET_RENDERERS,
    Kind.HUNTS: FUZZ_RENDERERS,
}
_TOGETHER = (Kind.ROUNDS, Kind.SUITES, Kind.KILLS)
"""Kinds of which all results are shown as one."""
_EXITS: Mapping[Kind, Callable[..., int]] = {
    Kind.OUTCOMES: lambda outcome: not outcome.verdict.as_wanted,
    Kind.ROUNDS: lambda section: exit_of([section.run]),
    Kind.SUITES: lambda suite: suite.exit,
    Kind.COMPARISONS: lambda comparison, _names: not comparison.same,
    Kind.PREDICTIONS: lambda prediction, *_more: not prediction.victims,
    Kind.EXAMINATIONS: lambda examination: 0 if examination.fit else Exit.UNSUPPORTED,
    Kind.KERNELS: lambda comparison: comparison.exit,
    Kind.KERNEL_SUITES: lambda comparison: comparison.exit,
    Kind.FLEETS: lambda fleet: worst(fleet.hosts),
    Kind.HUNTS: lambda hunt: bool(hunt["findings"]),
}


@dataclass(frozen=True)
class ReportOptions:
    """The options of `oomctl report`; UsageError if they exclude each other."""

    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Results of one kind: records, or JSON or JSON lines of any command; - is stdin.",
            autocompletion=completion.records,
        ),
    ] = None
    last: Annotated[
        bool, options.flag("--last", f"Show the newest of the {kept.MOST} results that are kept.")
    ] = False
    formats: Annotated[
        forms.Given, forms.option(Format, "It is one of the command that made the result.")
    ] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if bool(self.files) is self.last:
            why = "there is no FILE" if self.last is False else "--last and FILE exclude each other"
            raise UsageError(why, "name files, or give --last")


@command(
    "as the command that made the result: it was as wanted",
    "it was not as wanted",
    environment=[CACHE],
)
def report(given: ReportOptions) -> None:
    """Show saved results in any form, and in several at once.

    It needs neither root nor the kfunc. A record that still grows, or that a crash cut short, is
    shown as far as it goes, without half a line at its end. Several files of one kind are shown
    together. Every command that has a result keeps it in the cache: `--last` shows the newest one.

    Examples:
      oomctl run examples/soak.toml --repeat 50 --record soak.jsonl
      oomctl report soak.jsonl
      oomctl report soak.jsonl -f table -f html=soak.html -f json=soak.json
      oomctl report --last -f html=page.html
    """
    paths = [kept.newest()] if given.last else given.files or []
    with forms.Places(forms.of(given.formats), given.output) as places:
        places.require_apart(paths)
        found = read_all(*paths)
        why = f"{found.kind} cannot be shown so"
        forms.require(forms.of(given.formats), _RENDERERS[found.kind], why)
        code = _exit(found)
        for form, place in places:
            place.write(_shown(found, form, place.width))
    raise typer.Exit(code)


def _shown(found: Saved, form: str, width: int | None) -> str:
    """Return a form of all results."""
    renderers = _RENDERERS[found.kind]
    results, origins = found.results, found.origins
    if found.kind in _TOGETHER:
        results, origins = (([each for (each,) in results],),), origins[:1]
    elif form == "html" and len(results) > 1:
        raise UsageError(f"--format html shows one of {found.kind}", "report them one by one")
    texts = []
    for about, origin in zip_longest(results, origins):
        with commandline.of(origin) if origin else nullcontext(), telling_malformed(found.names[0]):
            rendered = render(renderers, form, *about, terminal=width)
            texts.append(rendered if isinstance(rendered, str) else "".join(rendered))
    return ("\n" if form in ("table", "markdown") else "").join(texts)


def _exit(found: Saved) -> int:
    """Return the first exit code that is not 0, of those that the commands had."""
    code_of = _EXITS.get(found.kind)
    with telling_malformed(found.names[0]):
        codes = [int(code_of(*about)) for about in found.results] if code_of else []
        if not {*codes} <= {*range(256)}:
            raise ValueError("an exit code that no command has")
    return next(filter(None, codes), Exit.OK)
