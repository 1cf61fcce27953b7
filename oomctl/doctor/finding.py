"""What a check of the machine found. Pure."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Finding:
    """One finding: `missing` keeps `oomctl declare` from working, `warning` may surprise.

    `found` is one sentence: what there is and, unless it is ok, why that matters; `fix` is the
    command, or the words, that mend it. `name` is the check's, which the examination fills in.
    """

    state: State
    found: str
    fix: str = ""
    name: str = ""


def ok(found: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", found)


def warning(found: str, fix: str = "") -> Finding:
    """Return that something may surprise."""
    return Finding("warning", found, fix)


def missing(found: str, fix: str = "") -> Finding:
    """Return that `oomctl declare` cannot work."""
    return Finding("missing", found, fix)
