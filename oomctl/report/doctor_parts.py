"""Findings about a machine as text: one row a check, its fix below, and a conclusion."""

from oomctl import __version__
from oomctl.doctor import Examination
from oomctl.report.parts import Lines, Part, Table, as_markdown, as_text
from oomctl.text import counted


def render_text(examination: Examination, terminal: int | None = None) -> str:
    """Return the findings, at most 80 columns wide."""
    return as_text(parts(examination), terminal=terminal)


def render_markdown(examination: Examination) -> str:
    """Return the findings as Markdown."""
    return as_markdown(parts(examination))


def parts(examination: Examination) -> list[Part]:
    """Return the findings as parts."""
    rows: list[tuple[str, str, str]] = []
    for finding in examination.findings:
        rows.append((finding.name, finding.state, finding.found))
        if finding.fix:
            rows.append(("", "", f"-> {finding.fix}"))
    table = Table(("check", "state", "found"), rows, prose={"found": 20})
    return [table, Lines([("", conclusion(examination))])]


def conclusion(examination: Examination) -> str:
    """Say in a sentence whether `oomctl declare` can work."""
    warnings = counted(examination.count("warning"), "warning")
    can = "can work here"
    if not examination.fit:
        can = f"cannot work here: {examination.count('missing')} missing"
    machine = f"Linux {examination.kernel} {examination.architecture}, oomctl {__version__}"
    return f"`oomctl declare` {can}, {warnings}. {machine}"
