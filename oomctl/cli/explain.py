"""`oomctl explain`: what the OOM reports in a saved kernel log say, and why each victim died."""

import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from oomctl import console
from oomctl.cli import completion, forms, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.output import Output, require_new
from oomctl.cli.rebuilt import Kept, tell
from oomctl.cli.scale import Scale
from oomctl.errors import Exit, UsageError
from oomctl.files.infile import can_be_read_again, open_input
from oomctl.files.loglines import NotTextError, telling_lines
from oomctl.oom.explanation import Explanation, explanations
from oomctl.oom.log import logtext
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.logtext import LogText
from oomctl.oom.log.reports import ReportsFromLog
from oomctl.report import EXPLANATION_RENDERERS, ShortFormat, render

_KEPT = 1000  # of the newest reports, for `oomctl report --last`
_HINT = "give a saved kernel log, such as the output of dmesg or journalctl -k"


@dataclass(frozen=True)
class ExplainOptions:
    """The options of `oomctl explain`."""

    file: Annotated[
        Path,
        typer.Argument(
            metavar="[FILE]",
            help="A saved kernel log; - is stdin.",
            autocompletion=completion.logs,
        ),
    ] = Path("-")
    top: Annotated[
        int | None,
        options.value(
            "N",
            "Show only the first N tasks of each dump. [default: 10; all in JSON]",
            options.integer(1, 1_000_000),
        ),
    ] = None
    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
    scenario: Annotated[
        Path | None,
        options.value(
            "OUT.toml",
            "Write a scenario to this new file that makes the same task die again.",
            options.file,
        ),
    ] = None
    kill: Annotated[
        int | None,
        options.value(
            "N",
            "Take only this report, counted from 1. [default: all; the first kill for --scenario]",
            options.integer(1, 1 << 31),
        ),
    ] = None
    scale: Scale = Fraction(1)
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.scenario is None and self.scale != 1:
            raise UsageError("there is no scenario to make", "add --scenario OUT.toml")
        if self.scenario == Path("-"):
            raise UsageError("--scenario - is not a file", "name a new file")
        if self.scenario is not None and self.scenario == self.output:
            raise UsageError("--scenario and --output are the same file", "name two files")


@command("there was an OOM report", "there was none", environment=[CACHE])
def explain(given: ExplainOptions) -> None:
    """Explain every OOM kill in a saved kernel log.

    It reads what dmesg and journalctl print in any of their forms, syslog files, serial consoles
    and dumps of /dev/kmsg, from kernels 3.10 to 7.x; a log of any size is read in pieces. For each
    report it says which task invoked the OOM killer, which limit was hit, which task was killed,
    what the memory was used for and how much of it belongs to no task. From the task dump it
    computes every badness again, and says whether the kernel's choice follows from it. What the log
    does not contain is named as missing.

    --scenario makes an experiment of a report: its cgroups, its tasks as hogs, its victim expected.
    What the report leaves open is assumed, and said in the file.

    It needs neither root nor the machine on which the log was written.

    Examples:
      journalctl -k -b -1 | oomctl explain
      oomctl explain /var/log/kern.log --top 5
      oomctl explain console.txt --format html -o oom.html
      oomctl explain kern.log --scenario mine.toml --scale 1/64 && oomctl run mine.toml
    """
    require_new(given.scenario)
    with (
        forms.Places(forms.of(given.formats), given.output) as places,
        Output(given.scenario, "--scenario") as scenario,
    ):
        places.require_apart([given.file])
        name = "stdin" if given.file == Path("-") else str(given.file)
        with _opened(given.file, name) as file:
            wanted = Kept(read_log(file, name), given.kill)
            found = iter(wanted)
            first = next(found, None)
            if first is None:
                if wanted.count:
                    wanted.require(name)
                console.note(f"no OOM report in {name}")
                raise typer.Exit(Exit.NOT_AS_WANTED)
            newest: deque[Explanation] = deque(maxlen=_KEPT)
            every = _noted(chain([first], found), newest)
            passes = _passes(given, name, every)
            for form, place in places:
                about = (next(passes), name, given.top)
                place.write_pieces(
                    render(EXPLANATION_RENDERERS, form, *about, terminal=place.width)
                )
            whole = EXPLANATION_RENDERERS["json"]
            kept.keep("explain", lambda: "".join(whole(newest, name, None)))
            if given.scenario is not None:
                made = wanted.rebuilt(name, given.scale)
                scenario.write(made.text)
                tell(made, given.scale)
                console.progress(f"wrote {given.scenario}; `oomctl run` makes the kill again")
            kept.next_step(given.formats)


def _passes(
    given: ExplainOptions, name: str, first: Iterator[Explanation]
) -> Iterator[Iterable[Explanation]]:
    """Yield the reports for each form: a file is read once more, those of a pipe are all held."""
    if len(given.formats or ()) > 1 and not can_be_read_again(given.file):
        held = [*first]
        while True:
            yield held
    yield first
    while True:
        with _opened(given.file, name) as file:
            yield Kept(read_log(file, name), given.kill)


def _noted(found: Iterable[Explanation], newest: deque[Explanation]) -> Iterator[Explanation]:
    for each in found:
        newest.append(each)
        yield each


def _opened(path: Path, name: str) -> BinaryIO:
    try:
        file = open_input(path)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", _HINT) from error
    if file.isatty():
        console.progress("reading a kernel log from the terminal; Ctrl-D ends it")
    return file


def read_log(file: BinaryIO, name: str) -> Iterator[Explanation]:
    """Explain each report of a log as soon as it has been read; errors call the log `name`."""
    text, reports = LogText(), ReportsFromLog()
    lines = telling_lines(
        file, logtext.TELLING, lambda: reports.is_open or text.wants_all, logtext.LINE_MAX
    )

    def records() -> Iterator[Record]:
        try:
            for line in lines:
                yield from text.records(line)
            yield from text.finish()
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}", _HINT) from error
        except NotTextError as error:
            path = "FILE" if name == "stdin" else shlex.quote(name)
            raise UsageError(f"{name} {error}", error.how.format(path)) from error

    return explanations(records(), reports)
