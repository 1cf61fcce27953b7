"""Findings about a machine as text: one row a check, its fix below, and a conclusion."""

from oomctl import __version__
from oomctl.doctor import Examination
from oomctl.report.parts import Lines, Table, as_text
from oomctl.text import counted


def render_text(examination: Examination, terminal: int | None = None) -> str:
    """Return the findings, at most 80 columns wide."""
    rows: list[tuple[str, str, str]] = []
    for finding in examination.findings:
        rows.append((finding.name, finding.state, finding.found))
        if finding.fix:
            rows.append(("", "", f"-> {finding.fix}"))
    table = Table(("check", "state", "found"), rows, prose={"found": 20})
    return as_text([table, Lines([("", _conclusion(examination))])], terminal=terminal)


def _conclusion(examination: Examination) -> str:
    warnings = counted(examination.count("warning"), "warning")
    can = "can work here"
    if not examination.fit:
        can = f"cannot work here: {examination.count('missing')} missing"
    machine = f"Linux {examination.kernel} {examination.architecture}, oomctl {__version__}"
    return f"`oomctl declare` {can}, {warnings}. {machine}"
