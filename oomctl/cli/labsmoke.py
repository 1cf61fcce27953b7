"""`oomctl lab smoke`: the suite in virtual machines, with the cases that take one down."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from oomctl import console
from oomctl.cli import guest
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.cli.smoke import (
    BAD,
    GOOD,
    UNTESTABLE,
    Bisect,
    Exclude,
    Form,
    ListCases,
    OutputFile,
    Patterns,
    Repeat,
    bisecting,
    meant,
    reporting,
    status,
)
from oomctl.lab import guest_suite, vm
from oomctl.lab.pump import Sink, Tail
from oomctl.lab.qemu import Machine
from oomctl.lab.vm import Ending
from oomctl.report.smoke_reporter import StreamReporter, listing
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report

EPILOG = (
    "Exit codes: 0 all passed or were skipped; 1 something failed, be it by the kernel's death; 2 "
    "usage; 3 nothing could run, or this machine cannot; 4 oomctl failed, or the guest did not "
    f"come up; 130 Ctrl-C. With --bisect: {GOOD}, {BAD}, and {UNTESTABLE} for all that is neither."
)


@guarded
def smoke(
    patterns: Patterns = None,
    list_cases: ListCases = False,
    form: Form = None,
    repeat: Repeat = 1,
    exclude: Exclude = None,
    bisect: Bisect = False,
    output: OutputFile = None,
    kernel_option: guest.KernelOption = "stock",
    module_file: guest.Module = None,
    memory: guest.Memory = "2G",
    cpus: guest.Cpus = 2,
    timeout: guest.Timeout = 900,
    kvm_option: guest.Kvm = "auto",
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say each step; show what held.")
    ] = 0,
) -> None:
    """Run `oomctl smoke` in a virtual machine, and each case that may take one down in its own.

    Those are the ones where the kernel should panic: its console is read, and the panic that was
    expected counts as passed. A kernel that dies of any other case fails that, and the rest goes on
    in a new machine. All comes out as one result, told while it runs.

    \b
    Examples:
      oomctl lab smoke
      oomctl lab smoke --kernel ~/linux panic
      git bisect run sh -c 'make -j8 bzImage || exit 125; oomctl lab smoke --kernel . --bisect lock'
    """
    console.set_verbosity(verbose)
    with bisecting(bisect):
        guest.check_timeout(timeout)
        size = guest.memory(memory)
        chosen = tuple(sorted(meant(patterns, exclude), key=lambda case: bool(case.panics)))
        with Output(output) as place:
            if list_cases:
                place.write(listing(chosen))
                return
            with (
                guest.ready(kernel_option, kvm_option, True, module_file) as host,
                reporting(place, output, form, bool(verbose)) as tell,
            ):
                machine = Machine(host.kernel.image, size, cpus, host.kvm)
                report = _Run(chosen, tell).of(partial(_boot, host, machine, timeout), repeat)
        raise typer.Exit(status(report, bisect))


class _Run:
    """Takes what comes, and tells of it."""

    def __init__(self, chosen: tuple[Case, ...], tell: StreamReporter) -> None:
        self._cases = {case.name: case for case in chosen}
        self._report = Report({}, chosen)
        self._tell = tell

    def of(self, boot: guest_suite.Boot, repeat: int) -> Report:
        """Run the suite."""
        suite = guest_suite.GuestSuite(boot, repeat, self._met, self._came, _say_booting)
        suite.run(self._report.cases)
        self._tell.end(self._report)
        return self._report

    def _met(self, environment: Mapping[str, Any]) -> None:
        if not self._report.environment:
            self._report = replace(self._report, environment=environment)
            self._tell.begin(self._report)

    def _came(self, result: Result) -> None:
        self._report = replace(self._report, results=(*self._report.results, result))
        self._tell.starts(self._cases[result.name])
        self._tell.came(result)
        console.progress_bar(result.name, len(self._report.results), len(self._cases))


def _say_booting(name: str) -> None:
    console.progress(f"booting a machine for {name}")


def _boot(
    host: guest.Host, machine: Machine, timeout: float, words: tuple[str, ...], out: Sink
) -> Ending:
    environment = guest.environment([]) | guest_suite.environment()
    job = host.job(words, environment, "/")
    said = Tail()
    ending = vm.run(machine, job, timeout, out, said.take)
    for line in said.lines():
        console.detail(line)
    return ending
