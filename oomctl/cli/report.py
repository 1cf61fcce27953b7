"""`oomctl report`: results that were saved, in any form, and in several at once."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from oomctl.cli import completion, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.output import Output
from oomctl.cli.saved import Saved, read_all
from oomctl.errors import Exit, UsageError
from oomctl.report import RENDERERS, RUN_RENDERERS, SMOKE_RENDERERS, render
from oomctl.report.kills import render_saved
from oomctl.rounds.run import exit_of

_KILLS = ("table", "jsonl", "csv")


@dataclass(frozen=True)
class ReportOptions:
    """The options of `oomctl report`; UsageError if they exclude each other."""

    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Results of one kind: JSON or JSON lines of declare, run, smoke or watch, or "
            "records; - is stdin.",
            autocompletion=completion.records,
        ),
    ] = None
    last: Annotated[
        bool, options.flag("--last", f"Show the newest of the {kept.MOST} results that are kept.")
    ] = False
    forms: Annotated[
        list[str] | None,
        options.value(
            "FORM[=FILE]",
            "Form of the result, as of the command that made it; with =FILE it goes there. May be "
            "repeated. [default: table]",
            None,
            *("--format", "-f"),
        ),
    ] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if bool(self.files) is self.last:
            why = "there is no FILE" if self.last is False else "--last and FILE exclude each other"
            raise UsageError(why, "name files, or give --last")
        if sum(target is None for _form, target in self.targets) > 1:
            raise UsageError("two forms go to stdout", "give all but one of them a file: -f html=X")

    @property
    def targets(self) -> list[tuple[str, Path | None]]:
        """Each form, and the file it goes to; None is --output, else stdout."""
        found = []
        for given in self.forms or ["table"]:
            form, equals, name = given.partition("=")
            if equals and not name:
                raise UsageError(f"--format {given} names no file", f"write -f {form}=FILE")
            found.append((form, Path(name) if name else None))
        return found


@command(
    "as the command that made the result: it was as wanted",
    "it was not as wanted",
    environment=[CACHE],
)
def report(given: ReportOptions) -> None:
    """Show saved results in any form, and in several at once.

    It needs neither root nor the kfunc. A record that still grows, or that a crash cut short, is
    shown as far as it goes, without half a line at its end. Several files of one kind are shown
    together. declare, run, smoke and watch keep their newest results in the cache: `--last` shows
    the newest one.

    Examples:
      oomctl run examples/soak.toml --repeat 50 --record soak.jsonl
      oomctl report soak.jsonl
      oomctl report soak.jsonl -f table -f html=soak.html -f json=soak.json
      oomctl report --last -f html=page.html
    """
    paths = [kept.newest()] if given.last else given.files or []
    with ExitStack() as stack:
        places = [
            (
                form,
                stack.enter_context(
                    Output(target or given.output, "--format" if target else "--output")
                ),
            )
            for form, target in given.targets
        ]
        for _form, place in places:
            place.require_apart(paths)
        found = read_all(*paths)
        renderers = _renderers(found)
        for form, _place in places:
            if form not in renderers:
                raise UsageError(
                    f"--format {form}: {found.kind} cannot be shown so",
                    f"take one of {', '.join(renderers)}",
                )
        for form, place in places:
            place.write(renderers[form](place.width))
    raise typer.Exit(_exit(found))


def _renderers(found: Saved) -> Mapping[str, Callable[[int | None], str]]:
    """Return what renders each form, given the width of the terminal."""
    match found.kind:
        case "outcome":
            return {form: partial(_outcomes, form, found) for form in RENDERERS}
        case "rounds":
            about: object = found.sections
            return {form: partial(_shown, RUN_RENDERERS, form, about) for form in RUN_RENDERERS}
        case "smoke":
            about = found.suites
            return {form: partial(_shown, SMOKE_RENDERERS, form, about) for form in SMOKE_RENDERERS}
        case _:
            return {form: partial(render_saved, found.kills, form) for form in _KILLS}


def _shown(
    of: Mapping[str, Callable[..., str]], form: str, about: object, width: int | None
) -> str:
    return render(of, form, about, terminal=width)


def _outcomes(form: str, found: Saved, width: int | None) -> str:
    if form == "html" and len(found.outcomes) > 1:
        raise UsageError("--format html shows one declaration", "report them one by one")
    shown = (render(RENDERERS, form, each, terminal=width) for each in found.outcomes)
    return "\n".join(shown) if form in ("table", "markdown") else "".join(shown)


def _exit(found: Saved) -> Exit:
    wanted = [
        *(each.verdict.as_wanted for each in found.outcomes),
        *(each.exit == Exit.OK for each in found.suites),
    ]
    if not all(wanted):
        return Exit.NOT_AS_WANTED
    return exit_of(section.run for section in found.sections)
