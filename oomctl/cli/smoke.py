"""`oomctl smoke`: asks this kernel whether it keeps the contract of bpf_out_of_memory()."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from oomctl import console
from oomctl.bpf import btf
from oomctl.cli import completion, forms, kept, options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.exitcodes import UNTESTABLE, CodedCommand, ExitCodes
from oomctl.cli.options import flag, integer, value
from oomctl.cli.output import Output
from oomctl.errors import Exit, UsageError
from oomctl.experiment import environment
from oomctl.oom import as_json
from oomctl.report import SMOKE_RENDERERS
from oomctl.report.smoke_reporter import SmokeFormat, StreamReporter, Together, reporter
from oomctl.report.smoke_tables import listing
from oomctl.rounds.progress import Progress
from oomctl.smoke import runner, suite
from oomctl.smoke.case import Case
from oomctl.smoke.results import Report

EXITS = "no case failed and at least one passed", "a case failed"
BISECT = f"with --bisect {UNTESTABLE} for all of the following below 128, which are neither"


@dataclass(frozen=True)
class SuiteOptions:
    """The options that `oomctl smoke` and `oomctl lab smoke` share."""

    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATTERN...]",
            help="Cases to run: a name, a group, or either with wildcards, such as lock or "
            "'*order*'. [default: all]",
            autocompletion=completion.cases,
        ),
    ] = None
    list_cases: Annotated[
        bool, flag("--list", "List the chosen cases as table, json or jsonl; run none.")
    ] = False
    formats: Annotated[
        forms.Given,
        forms.option(
            SmokeFormat,
            "ktap is for kernel CI, jsonl has a line a case; these, tap, lava, lava-lines, ltp and "
            "csv are written while the cases run.",
            "table on a terminal, else ktap",
        ),
    ] = None
    repeat: Annotated[
        int,
        value("N", "Run each case N times; it passes if it does every time.", integer(1, 100_000)),
    ] = 1
    exclude: Annotated[
        list[str] | None,
        value(
            "PATTERN", "Leave out these cases; may be repeated.", autocompletion=completion.cases
        ),
    ] = None
    bisect: Annotated[
        bool,
        flag(
            "--bisect",
            f"Exit as `git bisect run` reads it: {Exit.OK:d} good, {Exit.NOT_AS_WANTED:d} bad, "
            f"{UNTESTABLE} this kernel cannot be tested.",
        ),
    ] = False
    exit_codes: ExitCodes = "default"
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.bisect and self.exit_codes != "default":
            raise UsageError("--bisect and --exit-codes exclude each other", "give one of them")
        if self.list_cases:
            usable = {"patterns", "list_cases", "formats", "exclude", "output"}
            options.refuse(self, "--list runs nothing", usable)
            why = "it is for results, and --list has none"
            forms.require(self.formats or (), ("table", "json", "jsonl"), why)

    def chosen(self) -> tuple[Case, ...]:
        """Return the chosen cases; UsageError if there are none."""
        chosen = suite.select(suite.cases(), self.patterns or (), self.exclude or ())
        if not chosen:
            raise UsageError("every case is excluded", "leave out some --exclude")
        return chosen

    def places(self) -> forms.Places:
        """Return where the forms go."""
        is_seen = self.output is None and sys.stdout.isatty()
        default = "table" if is_seen or self.list_cases or self.compared else "ktap"
        return forms.Places(forms.of(self.formats, default), self.output)

    @property
    def compared(self) -> bool:
        """Whether the result is a comparison of kernels."""
        return False

    def listing(self, places: forms.Places, chosen: Sequence[Case]) -> None:
        """Write the chosen cases, for --list."""
        for form, place in places:
            place.write(listing(chosen, form, place.width))

    @contextmanager
    def reporting(self, places: forms.Places) -> Iterator[StreamReporter]:
        """Yield the reporter of the run: it writes to stdout at once, to a file at the end."""
        verbose = console.verbose()
        texts: list[tuple[Output, list[str]]] = []
        reporters = []
        for form, place in places:
            if place.is_file:
                texts.append((place, []))
                write: Callable[[str], object] = texts[-1][1].append
            else:
                write = place.write
            reporters.append(reporter(form, write, verbose, place.width))
        yield Together(reporters)
        for place, parts in texts:
            place.write("".join(parts))


@dataclass(frozen=True)
class SmokeOptions(SuiteOptions):
    """The options of `oomctl smoke`."""

    disposable: Annotated[
        bool, flag("--disposable", "Run the cases too that should make this machine panic.")
    ] = False
    expect_console: options.ExpectConsole = None


@command(*EXITS, more=BISECT, environment=[CACHE, RUN_DIR], cls=CodedCommand)
def smoke(given: SmokeOptions) -> None:
    """Test this kernel's bpf_out_of_memory(), case by case.

    Each case makes a small tree below the cgroup root, tests one thing, and removes everything
    again: arguments and return values, the choice of the victim, the reach of a target,
    memory.oom.group, counters, victims that are still dying, oom_lock held by another task, the
    whole system, and programs that the verifier must refuse. Hogs have a few MiB. The cases of
    `system` declare OOM on the whole machine, with a hog at oom_score_adj 1000, and only if the
    kernel would choose that hog. Cases that may take the machine down are skipped: `oomctl lab
    smoke` runs them in a virtual machine. -v shows the checks of cases that passed.

    Examples:
      oomctl smoke                              # everything
      oomctl smoke lock 'arguments.order-*'     # a group, and some cases of another
      oomctl smoke --list                       # the cases
      oomctl smoke 'lock.*' --repeat 50         # how reliable is it?
      oomctl smoke -o result.ktap && kunit.py parse result.ktap
    """
    chosen = given.chosen()
    with given.places() as places:
        if given.list_cases:
            given.listing(places, chosen)
            return
        with given.reporting(places) as tell:
            report = _run(chosen, tell, given)
            kept.keep("smoke", lambda: SMOKE_RENDERERS["jsonl"]([report]))
        kept.next_step(given.formats)
    raise typer.Exit(report.exit)


def _run(chosen: Sequence[Case], tell: StreamReporter, given: SmokeOptions) -> Report:
    host = environment.require_host()
    expected = given.expect_console or ()
    with (
        runner.CaseRunner(host, btf.find_kfunc(), given.disposable, expected) as case_runner,
        Progress("smoke", len(chosen), None, noun="case") as progress,
    ):
        report = Report(as_json.environment(case_runner.environment), tuple(chosen))
        tell.begin(report)
        for number, case in enumerate(chosen, 1):
            tell.case_starts(case)
            with console.quiet():
                result = suite.run(case, case_runner, given.repeat)
            report = replace(report, results=(*report.results, result))
            tell.case_ends(result)
            progress.done(number)
        tell.end(report)
    return report
