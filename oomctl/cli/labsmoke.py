"""`oomctl lab smoke`: the suite in virtual machines, with the cases that take one down."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import psutil
import typer

from oomctl import console
from oomctl.cli import forms, guest, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.exitcodes import CodedCommand
from oomctl.cli.options import value
from oomctl.cli.smoke import BISECT, EXITS, SuiteOptions
from oomctl.errors import Exit, OomctlError, UsageError
from oomctl.lab import guest_suite, vm
from oomctl.lab.guest_suite import Began, Beside, Booting, GuestSuite, News
from oomctl.lab.pump import Sink, Tail
from oomctl.lab.vm import Ending
from oomctl.oom.faults import Fault
from oomctl.proc.lanes import Lanes
from oomctl.report import SMOKE_RENDERERS, SUITES_RENDERERS
from oomctl.report.smoke_reporter import StreamReporter
from oomctl.smoke.case import Case, Result
from oomctl.smoke.comparison import Comparison, KernelRun
from oomctl.smoke.results import Report
from oomctl.units import Duration

_FAULTY = "no case failed, and the kernel reported a fault of its own outside of the cases"


@dataclass(frozen=True)
class LabSmokeOptions(guest.MachineOptions, SuiteOptions):
    """The options of `oomctl lab smoke`."""

    timeout: Annotated[Duration, guest.TIMEOUT] = Duration(900)
    jobs: Annotated[
        int | None,
        value(
            "N",
            "Guests that run at once. [default: as many as there are processors, if memory is "
            "enough; 1 with --console]",
            options.integer(1, 255),
        ),
    ] = None

    @property
    def compared(self) -> bool:
        """Whether the result is a comparison of kernels."""
        return len(self.kernels) > 1

    def __post_init__(self) -> None:
        """Check the options of both."""
        SuiteOptions.__post_init__(self)
        super().__post_init__()
        if self.compared:
            why = "it has no form for several kernels"
            forms.require(self.formats or (), [*SUITES_RENDERERS], why)
        if self.compared and self.bisect:
            raise UsageError("--bisect judges one kernel", "give --kernel once")
        if self.console and (self.jobs or 1) > 1:
            raise UsageError(
                f"--console and --jobs {self.jobs}: their consoles would mix", "give one of them"
            )

    @property
    def most(self) -> int:
        """The number of guests that may run at once."""
        if self.jobs or self.console:
            return self.jobs or 1
        room = psutil.virtual_memory().available // self.memory
        return max(1, min(len(os.sched_getaffinity(0)), room))


@command(*EXITS, more=f"{guest.FAULTY} {_FAULTY}; {BISECT}", environment=[CACHE], cls=CodedCommand)
def smoke(given: LabSmokeOptions) -> None:
    """Run `oomctl smoke` in virtual machines, with the panics.

    A case that should make the kernel panic has a machine of its own, whose console is read: the
    expected panic is a pass. If the kernel dies of another case, that case has failed, and the
    rest goes on in a new machine. Several machines run at once (--jobs). The result is one, written
    while the cases run. With several kernels it is a comparison: which cases differ, and why.

    Examples:
      oomctl lab smoke
      oomctl lab smoke --kernel stock --kernel reference
      oomctl lab smoke --kernel ~/linux panic
      git bisect run sh -c 'make -j8 || exit 125; oomctl lab smoke --kernel . --bisect'
    """
    chosen = tuple(sorted(given.chosen(), key=lambda case: bool(case.panics)))
    with given.places() as places:
        if given.list_cases:
            given.listing(places, chosen)
            return
        with guest.all_ready(given) as hosts:
            if len(hosts) > 1:
                code, good = _compare(given, chosen, hosts, places)
            else:
                with given.reporting(places) as tell:
                    run = _Run(chosen, tell)
                    good = _run(given, run, hosts[0][1])
                    code = run.report.exit
                kept.keep("lab-smoke", lambda: SMOKE_RENDERERS["jsonl"]([run.report]))
        kept.next_step(given.formats)
    raise typer.Exit(guest.FAULTY if code == Exit.OK and not good else code)


def _run(given: LabSmokeOptions, run: "_Run", host: guest.Host, suffix: str = "") -> bool:
    """Run the suite on a kernel; tell whether it reported no fault outside of the cases."""
    expected = given.expect_console or []
    boot = partial(_boot, given, host)

    def part(cases: tuple[Case, ...], tell: Callable[[News], object]) -> None:
        GuestSuite(boot, given.repeat, tell, expected, host.python).run(cases)

    most = given.most
    parts = guest_suite.parts(run.report.cases, most)
    if most == 1 or len(parts) == 1:
        part(run.report.cases, run.take)
    else:
        with Lanes(most) as lanes:
            lanes.run([partial(part, cases) for cases in parts], run.take)
    run.end()
    seen = {line for result in run.report.results for line in result.evidence}
    beside = [one for one in run.faults if f"kernel log: {one.lines[0]}" not in seen]
    return guest.faults_are_good(beside, expected, suffix)


def _compare(
    given: LabSmokeOptions,
    chosen: tuple[Case, ...],
    hosts: Sequence[tuple[str, guest.Host]],
    places: forms.Places,
) -> tuple[Exit, bool]:
    """Run the suite on each kernel, and write what differs; one that fails does not end it."""
    good, runs = True, []
    for name, host in hosts:
        console.progress(f"testing {name}: {host.kernel.release}")
        run, error = _Run(chosen, StreamReporter(_ignore)), ""
        try:
            good &= _run(given, run, host, f" (on {name})")
        except OomctlError as failed:
            error = str(failed)
            console.note(f"{name}: {error}")
        runs.append(KernelRun(name, run.report, error))
    found = Comparison(chosen, tuple(runs))
    kept.keep("lab-smoke", lambda: SUITES_RENDERERS["json"](found))
    places.write(SUITES_RENDERERS, found)
    return found.exit, good


def _ignore(_text: str) -> None:
    """Write nothing: the comparison has it all."""


class _Run:
    """Collects what guests tell: results, which are reported in the order of the cases, and faults.

    `report` has the results that were reported.
    """

    def __init__(self, chosen: tuple[Case, ...], tell: StreamReporter) -> None:
        self.report = Report({}, chosen)
        self.faults: list[Fault] = []
        self._came: dict[str, Result] = {}
        self._tell = tell

    def take(self, news: News) -> None:
        """Take one of the news of a guest."""
        match news:
            case Booting():
                console.progress(f"booting a machine for {news.first}")
            case Began():
                if not self.report.environment:
                    self.report = replace(self.report, environment=news.environment)
                    self._tell.begin(self.report)
            case Beside():
                self.faults += news.faults
            case Result():
                self._came[news.name] = news
                self._report()
                console.progress_bar("cases", len(self._came), len(self.report.cases))

    def end(self) -> None:
        """Report the end."""
        self._tell.end(self.report)

    def _report(self) -> None:
        """Report the results that are next in the order of the cases."""
        for case in self.report.cases[len(self.report.results) :]:
            if case.name not in self._came:
                break
            result = self._came[case.name]
            self.report = replace(self.report, results=(*self.report.results, result))
            self._tell.case_starts(case)
            self._tell.case_ends(result)


def _boot(given: LabSmokeOptions, host: guest.Host, words: tuple[str, ...], out: Sink) -> Ending:
    job = host.job(words, guest.environment([]) | guest_suite.environment(), "/")
    machine = guest_suite.with_swap(given.machine(host))
    tail = Tail()
    # with --console, the kernel's console and the guest's stderr share ours
    foreign = console.Foreign()
    err = foreign.take if given.console else tail.take
    ending = vm.run(machine, job, given.timeout, out, err)
    foreign.end()
    for line in tail.lines():
        console.detail(line)
    return ending
