"""Looks at a machine check by check; one that fails is a finding, never a traceback."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from oomctl import console
from oomctl.doctor.finding import Finding, State, warning
from oomctl.doctor.machine import Machine
from oomctl.errors import OomctlError


@dataclass(frozen=True)
class Check:
    """A check by name. Without what is `needed`, `oomctl declare` cannot work.

    `look` returns the finding, or raises what the part of oomctl that it tries out raises: then
    that is the finding. `after` names the check without whose success there is nothing to look at.
    """

    name: str
    look: Callable[[Machine], Finding]
    needed: bool = False
    after: str = ""


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
        """Return how many findings are of a kind."""
        return sum(finding.state == state for finding in self.findings)


def examine(machine: Machine, checks: Sequence[Check]) -> Examination:
    """Carry out every check."""
    findings: list[Finding] = []
    failed: set[str] = set()
    for check in checks:
        if check.after in failed:
            failed.add(check.name)
            finding = warning(f"not looked at, for it needs: {check.after}")
        else:
            finding = _look(check, machine)
            if finding.state == "missing":
                failed.add(check.name)
        findings.append(replace(finding, name=check.name))
    return Examination(machine.release, machine.architecture, tuple(findings))


def _look(check: Check, machine: Machine) -> Finding:
    state: State = "missing" if check.needed else "warning"
    try:
        return check.look(machine)
    except OomctlError as error:
        for line in error.detail.splitlines():
            console.detail(line)
        return Finding(state, error.why, error.hint)
    except PermissionError as error:
        fix = "run it as root" if machine.uid else ""
        return Finding(state, f"could not be looked at: {told(error)}", fix)
    except Exception as error:
        return Finding(state, f"could not be looked at: {told(error)}")


def told(error: Exception) -> str:
    """Return what an error says, and of which file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
