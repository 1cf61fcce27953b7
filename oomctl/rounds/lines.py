"""Writes the lines of a record, each a JSON object: a run's header, its rounds, its end. Pure.

`oomctl/report/run-schema.json` describes them; reader.py reads them.
"""

from dataclasses import asdict
from typing import Any

from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome
from oomctl.rounds.run import End, RunHeader


def header_line(header: RunHeader) -> dict[str, Any]:
    """Return the first line of a run; the fields of RunHeader are its keys."""
    return {"kind": "run", "schema": as_json.SCHEMA, **asdict(header)}


def round_line(
    variant: str, number: int, took_ns: int, result: Outcome | tuple[str, str]
) -> dict[str, Any]:
    """Return the line of a round: its outcome, or a verdict and a reason if it has none."""
    line: dict[str, Any] = {"kind": "round", "variant": variant, "round": number}
    line["took_ns"] = took_ns
    if isinstance(result, tuple):
        verdict, reason = result
        return line | {"verdict": verdict, "reason": reason, "outcome": None}
    tree = as_json.tree(result)
    for of_the_run in ("schema", "environment", "samples"):
        del tree[of_the_run]
    return line | {"verdict": tree["verdict"], "reason": tree["reason"], "outcome": tree}


def end_line(end: End, rounds: int, ended: str) -> dict[str, Any]:
    """Return the last line of a run: why it ended, after how many rounds, and when."""
    return {"kind": "end", **asdict(end), "rounds": rounds, "ended": ended}
