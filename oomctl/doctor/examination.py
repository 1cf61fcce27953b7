"""Checks of a machine and their findings; a check that fails is a finding, never a traceback."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from oomctl import console
from oomctl.doctor.machine import Machine
from oomctl.errors import OomctlError

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Finding:
    """The result of a check: `missing` prevents `oomctl declare`, `warning` may affect results.

    `found` is one sentence: the state of the machine and, unless it is ok, why that matters; `fix`
    is the command, or the advice, that fixes it. `name` is the check's; examine() fills it in.
    """

    state: State
    found: str
    fix: str = ""
    name: str = ""


def ok(found: str) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding("ok", found)


def warning(found: str, fix: str = "") -> Finding:
    """Return the finding of something that may affect results."""
    return Finding("warning", found, fix)


def missing(found: str, fix: str = "") -> Finding:
    """Return the finding that `oomctl declare` cannot work."""
    return Finding("missing", found, fix)


@dataclass(frozen=True)
class DoctorCheck:
    """A check by name; `oomctl declare` cannot work if a `needed` one fails.

    `look` returns the finding, or raises the error of the part of oomctl that it tries out, which
    then is the finding. `after` names the check without whose success this one is not made.
    """

    name: str
    look: Callable[[Machine], Finding]
    needed: bool = False
    after: str = ""


class Checks(list[DoctorCheck]):
    """The checks of a module, in the order in which they are defined."""

    def add(
        self, name: str, *, needed: bool = False, after: str = ""
    ) -> Callable[[Callable[[Machine], Finding]], None]:
        """Make a check of the decorated function."""
        return lambda look: self.append(DoctorCheck(name, look, needed, after))


@dataclass(frozen=True)
class Examination:
    """All findings about a machine, in the order of the checks."""

    kernel: str
    architecture: str
    findings: tuple[Finding, ...]

    @property
    def fit(self) -> bool:
        """Whether `oomctl declare` can work here."""
        return not self.count("missing")

    def count(self, state: State) -> int:
        """Return the number of findings in a state."""
        return sum(finding.state == state for finding in self.findings)


def examine(machine: Machine, checks: Sequence[DoctorCheck]) -> Examination:
    """Make every check."""
    findings: list[Finding] = []
    failed: set[str] = set()
    for check in checks:
        if check.after in failed:
            failed.add(check.name)
            finding = warning(f"not checked: needs {check.after}")
        else:
            finding = _finding(check, machine)
            if finding.state == "missing":
                failed.add(check.name)
        findings.append(replace(finding, name=check.name))
    return Examination(machine.release, machine.architecture, tuple(findings))


def _finding(check: DoctorCheck, machine: Machine) -> Finding:
    state: State = "missing" if check.needed else "warning"
    try:
        return check.look(machine)
    except OomctlError as error:
        for line in error.detail.splitlines():
            console.detail(line)
        return Finding(state, error.why, error.hint)
    except Exception as error:
        fix = "run it as root" if isinstance(error, PermissionError) and machine.uid else ""
        return Finding(state, f"cannot be checked: {error_text(error)}", fix)


def error_text(error: Exception) -> str:
    """Return the message of an error, and the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
