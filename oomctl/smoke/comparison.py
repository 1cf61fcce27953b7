"""The suite on several kernels: which cases differ, and why. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oomctl.errors import Exit
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report


@dataclass(frozen=True)
class KernelRun:
    """The suite on one kernel: its name on the command line, and where the command found it.

    `error` says why there are no results, or not all.
    """

    name: str
    report: Report
    error: str = ""


@dataclass(frozen=True)
class Difference:
    """A case with other results on other kernels; None for a kernel on which it did not run."""

    case: Case
    results: tuple[Result | None, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The result on each kernel: passed, failed, skipped or -."""
        return tuple(one.word if one else "-" for one in self.results)


@dataclass(frozen=True)
class Comparison:
    """The same cases on several kernels."""

    cases: tuple[Case, ...]
    runs: tuple[KernelRun, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The cases that differ, in their order."""
        return tuple(_differences(self.cases, self.runs))

    @property
    def exit(self) -> Exit:
        """The exit code: of the kernel on which most went wrong."""
        codes = [run.report.exit for run in self.runs]
        if any(run.error for run in self.runs):
            return Exit.FAILED
        return next(
            (code for code in (Exit.NOT_AS_WANTED, Exit.UNSUPPORTED) if code in codes), Exit.OK
        )


def of_reports(reports: Sequence[Report]) -> Comparison:
    """Return the comparison of saved runs, each named by its kernel, of equal ones by a number."""
    kernels = [str(report.environment.get("kernel", "?")) for report in reports]
    names = [
        f"{kernel} #{kernels[:at].count(kernel) + 1}" if kernels.count(kernel) > 1 else kernel
        for at, kernel in enumerate(kernels)
    ]
    cases = {case.name: case for report in reports for case in report.cases}
    runs = tuple(KernelRun(*each) for each in zip(names, reports, strict=True))
    return Comparison(tuple(cases.values()), runs)


def _differences(cases: Sequence[Case], runs: Sequence[KernelRun]) -> Iterator[Difference]:
    by_name = [{result.name: result for result in run.report.results} for run in runs]
    for case in cases:
        found = Difference(case, tuple(of.get(case.name) for of in by_name))
        if len(set(found.words)) > 1:
            yield found
