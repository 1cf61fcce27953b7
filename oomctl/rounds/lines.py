"""Writes the lines of a record, each a JSON object: a run's header, its rounds, its end. Pure.

`oomctl/report/run-schema.json` describes them; reader.py reads them.
"""

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome
from oomctl.rounds.drawn import thinned
from oomctl.rounds.round import Round
from oomctl.rounds.run import End, RunHeader


def header_line(header: RunHeader) -> dict[str, Any]:
    """Return the first line of a run; the fields of RunHeader are its keys."""
    return {"kind": "run", "schema": as_json.SCHEMA, **asdict(header)}


def round_line(
    variant: str,
    number: int,
    took_ns: int,
    result: Outcome | tuple[str, str],
    drawn: bool = False,
) -> dict[str, Any]:
    """Return the line of a round: its outcome, or a verdict and a reason if it has none.

    Only a round that is `drawn` has samples.
    """
    line: dict[str, Any] = {"kind": "round", "variant": variant, "round": number}
    line["took_ns"] = took_ns
    if isinstance(result, tuple):
        verdict, reason = result
        return line | {"verdict": verdict, "reason": reason, "outcome": None}
    samples = tuple(thinned(result.samples)) if drawn else ()
    tree = as_json.of_round(replace(result, samples=samples))
    if not drawn:
        del tree["samples"]
    return line | {"verdict": tree["verdict"], "reason": tree["reason"], "outcome": tree}


def summary_line(one: Round) -> dict[str, Any]:
    """Return the line of a round with what statistics need in place of its outcome."""
    calls = Counter(one.calls)
    return {
        "kind": "round",
        "variant": one.variant,
        "round": one.number,
        "took_ns": one.took_ns,
        "verdict": one.verdict,
        "reason": one.reason,
        "outcome": None,
        "summary": (
            one.ran
            and {
                "calls": [asdict(call) | {"count": number} for call, number in calls.items()],
                "casualties": [asdict(each) for each in one.casualties],
                "times_ns": {name: list(times) for name, times in one.times.items()},
                "log_bytes": one.log_bytes,
                "events": dict(one.rises),
                "nr_dying_descendants": one.dying,
                "own_rss_bytes": one.own_rss,
                "checks": [asdict(check) for check in one.checks],
            }
        )
        or None,
    }


def end_line(end: End, rounds: int, ended: str) -> dict[str, Any]:
    """Return the last line of a run: why it ended, after how many rounds, and when."""
    return {"kind": "end", **asdict(end), "rounds": rounds, "ended": ended}
