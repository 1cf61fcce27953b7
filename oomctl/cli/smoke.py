"""`oomctl smoke`: asks this kernel whether it keeps the contract of bpf_out_of_memory()."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from oomctl import console
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit, OomctlError, UsageError
from oomctl.oom import as_json
from oomctl.report.smoke_reporter import SmokeFormat, StreamReporter, listing, reporter
from oomctl.smoke import suite
from oomctl.smoke.case import Case
from oomctl.smoke.results import Report

GOOD, BAD, UNTESTABLE = 0, 1, 125
"""What `git bisect run` wants to hear."""

EPILOG = (
    "Exit codes: 0 all passed or were skipped; 1 something failed; 2 usage; 3 nothing could run: "
    "no kfunc, another one than v3's, or every case meant was skipped; 4 oomctl failed; 130 "
    "Ctrl-C. "
    f"With --bisect: {GOOD}, {BAD}, and {UNTESTABLE} for all that is neither."
)


class BisectCommand(TyperCommand):
    """A command whose option --bisect holds for wrong options as well.

    Any other status below 128 would tell `git bisect run` that the kernel is bad.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        bisect = "--bisect" in args
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if bisect:
                error.exit_code = UNTESTABLE
            raise


Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATTERN...]",
        help="Cases to run: a name, a group, or either with wildcards (`lock`, `*order*`). "
        "Default: all.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Cases to leave out; may be given again."),
]
Repeat = Annotated[
    int,
    typer.Option(
        parser=options.integer(1, 100_000),
        metavar="N",
        help="Run each case N times; it passes if it does every time.",
    ),
]
Form = Annotated[
    SmokeFormat | None,
    typer.Option(
        "--format",
        "-f",
        help="ktap is what kernel CI reads, and is told while it runs, as is jsonl (a line a "
        "case). [default: table on a terminal, else ktap]",
        show_default=False,
    ),
]
Bisect = Annotated[
    bool,
    typer.Option(
        "--bisect",
        help=f"Exit as `git bisect run` wants it: {GOOD} good, {BAD} bad, {UNTESTABLE} this kernel "
        "cannot be tested.",
    ),
]
OutputFile = options.OutputFile
ListCases = Annotated[
    bool, typer.Option("--list", help="Print the cases that are meant; run nothing.")
]


@guarded
def smoke(
    patterns: Patterns = None,
    list_cases: ListCases = False,
    form: Form = None,
    repeat: Repeat = 1,
    exclude: Exclude = None,
    bisect: Bisect = False,
    output: OutputFile = None,
    disposable: Annotated[
        bool,
        typer.Option(
            "--disposable",
            help="This machine may be taken down: run the cases that should panic it, too.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say each step, and each check that held.")
    ] = False,
) -> None:
    """Ask this kernel whether it keeps the contract of bpf_out_of_memory(), case by case.

    Each case makes a small tree of its own below the cgroup root, asks one thing, and removes
    everything again: every argument and return value, who is chosen, what a target reaches,
    memory.oom.group, counters, victims in flight, oom_lock held by another, the whole system, and
    programs that the verifier must refuse. Hogs are of a few MiB. The cases of `whole` declare OOM
    on the whole machine, with a bait at oom_score_adj 1000, and not unless that would be chosen.
    What may take the machine down is skipped; `oomctl lab smoke` runs that in a virtual machine.

    \b
    Examples:
      oomctl smoke                              # everything
      oomctl smoke lock 'arguments.order-*'     # a group, and some of another
      oomctl smoke --list                       # which cases there are
      oomctl smoke 'lock.*' --repeat 50         # how reliable is it?
      oomctl smoke -o result.ktap && kunit.py parse result.ktap
    """
    console.set_verbosity(int(verbose))
    with bisecting(bisect):
        chosen = meant(patterns, exclude)
        with Output(output) as place:
            if list_cases:
                place.write(listing(chosen))
                return
            with reporting(place, output, form, verbose) as tell:
                report = _run(chosen, tell, repeat, disposable)
        raise typer.Exit(status(report, bisect))


def meant(patterns: Sequence[str] | None, exclude: Sequence[str] | None) -> tuple[Case, ...]:
    """Return the cases that are meant; UsageError where there is none."""
    chosen = suite.select(suite.cases(), patterns or (), exclude or ())
    if not chosen:
        raise UsageError("every case is excluded", "leave out some --exclude")
    return chosen


@contextmanager
def bisecting(bisect: bool) -> Iterator[None]:
    """With --bisect, what is neither good nor bad is a kernel that cannot be tested."""
    try:
        yield
    except OomctlError as error:
        if not bisect:
            raise
        for line in error.lines:
            console.note(line)
        raise typer.Exit(UNTESTABLE) from None


@contextmanager
def reporting(
    place: Output, output: Path | None, form: SmokeFormat | None, verbose: bool
) -> Iterator[StreamReporter]:
    """Yield who tells of the run: on stdout while it goes on, in a file all at once."""
    if form is None:
        form = "table" if output is None and sys.stdout.isatty() else "ktap"
    if output is None:
        yield reporter(form, place.write, verbose)
        return
    parts: list[str] = []
    yield reporter(form, parts.append, verbose)
    place.write("".join(parts))


def status(report: Report, bisect: bool) -> int:
    """Return the exit code, in the words of `git bisect run` if asked for."""
    if not bisect:
        return report.exit
    return {Exit.OK: GOOD, Exit.NOT_AS_WANTED: BAD}.get(report.exit, UNTESTABLE)


def _run(chosen: Sequence[Case], tell: StreamReporter, repeat: int, disposable: bool) -> Report:
    from oomctl.bpf import btf
    from oomctl.experiment.environment import require_host
    from oomctl.smoke.runner import CaseRunner

    with CaseRunner(require_host(), btf.find_kfunc(), disposable) as runner:
        report = Report(as_json.environment(runner.environment), tuple(chosen))
        tell.begin(report)
        for number, case in enumerate(chosen, 1):
            tell.starts(case)
            with console.quiet():
                result = suite.run(case, runner, repeat)
            report = replace(report, results=(*report.results, result))
            tell.came(result)
            console.progress_bar(case.name, number, len(chosen))
        tell.end(report)
    return report


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command(cls=BisectCommand, epilog=EPILOG)(smoke)
