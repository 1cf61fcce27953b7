"""Findings about a machine, for people and for programs."""

import json
import textwrap
from collections.abc import Callable
from typing import Literal

from oomctl import __version__
from oomctl.describe.sentences import Table
from oomctl.doctor import Examination, Finding
from oomctl.oom.as_json import SCHEMA
from oomctl.report.layout import lay_out
from oomctl.report.table import WIDTH
from oomctl.text import counted, printable

DoctorFormat = Literal["table", "json"]

_HEADERS = ("check", "state", "found")
_STATE = len("missing")
_GAP = 2
_NARROWEST = 20


def render_table(seen: Examination, terminal: int | None = None) -> str:
    """Return one row a check, what mends it below, and what follows from all.

    At most 80 columns, and on a terminal no more than it has, but for a few words beside the names.
    """
    name = max((len(finding.name) for finding in seen.findings), default=0)
    whole = min(WIDTH, terminal or WIDTH)
    width = max(whole - name - _STATE - 2 * _GAP, _NARROWEST)
    rows = [(each.name, each.state, _cell(each, width)) for each in seen.findings]
    laid = [lay_out(Table(_HEADERS, rows), "simple"), ""] if rows else []
    return "\n".join([*laid, *_filled(_conclusion(seen), max(whole, _NARROWEST))]) + "\n"


def render_json(seen: Examination) -> str:
    """Return one object, described by doctor-schema.json."""
    plain = {
        "schema": SCHEMA,
        "oomctl": __version__,
        "kernel": seen.kernel,
        "machine": seen.architecture,
        "fit": seen.fit,
        "checks": [
            {
                "name": each.name,
                "state": each.state,
                "found": printable(each.found),
                "fix": printable(each.fix) or None,
            }
            for each in seen.findings
        ],
    }
    return json.dumps(plain, indent=2) + "\n"


RENDERERS: dict[DoctorFormat, Callable[[Examination], str]] = {
    "table": render_table,
    "json": render_json,
}


def _cell(finding: Finding, width: int) -> str:
    lines = _filled(finding.found, width)
    if finding.fix:
        lines += _filled(f"-> {finding.fix}", width)
    return "\n".join(lines)


def _filled(text: str, width: int) -> list[str]:
    return textwrap.wrap(printable(text), width, break_on_hyphens=False)


def _conclusion(seen: Examination) -> str:
    doubts = counted(seen.count("warning"), "warning")
    machine = f"Linux {seen.kernel} {seen.architecture}, oomctl {__version__}"
    if seen.fit:
        return f"`oomctl declare` can work here, {doubts}. {machine}"
    return (
        f"`oomctl declare` cannot work here: {seen.count('missing')} missing, {doubts}. {machine}"
    )
