"""The lines of a record, each a JSON object: the head of a run, its rounds, its end. Pure.

`oomctl/report/run-schema.json` describes them.
"""

from collections.abc import Mapping
from typing import Any

from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome
from oomctl.oom.plan import Plan, flag_names
from oomctl.rounds.run import End, RunHeader, VariantRecord
from oomctl.rounds.variant import Variant, judged


def way_of(variant: Variant, plan: Plan) -> VariantRecord:
    """Tell of a variant by its plan."""
    steps = tuple(
        {
            "via": step.call.via,
            "target": step.call.target,
            "order": step.call.order,
            "flags": step.call.flags,
            "flag_names": flag_names(step.call.flags),
            "amount_bytes": step.call.amount,
            "callers": step.callers,
            "repeat": step.repeat,
            "delay_s": step.delay,
            "until": step.until,
            "recheck_above_bytes": step.recheck.above if step.recheck else None,
            "recheck_every_s": step.recheck.every if step.recheck else None,
        }
        for step in plan.steps
    )
    return VariantRecord(variant.label, variant.overrides, variant.via, judged(plan), steps)


def head_line(head: RunHeader) -> dict[str, Any]:
    """Return the first line of a run."""
    return {
        "kind": "run",
        "schema": as_json.SCHEMA,
        "scenario": head.scenario,
        "description": head.description,
        "source": head.source,
        "variants": [
            {
                "label": way.label,
                "overrides": list(way.overrides),
                "via": way.via,
                "judged": way.judged,
                "steps": [dict(step) for step in way.steps],
            }
            for way in head.ways
        ],
        "options": dict(head.options),
        "environment": dict(head.environment),
        "started": head.started,
    }


def head_of(line: Mapping[str, Any]) -> RunHeader:
    """Read the first line of a run; KeyError or TypeError where it is none."""
    return RunHeader(
        scenario=str(line["scenario"]),
        description=str(line["description"]),
        source=str(line["source"]),
        ways=tuple(
            VariantRecord(
                str(way["label"]),
                tuple(way["overrides"]),
                way["via"],
                bool(way["judged"]),
                tuple(dict(step) for step in way["steps"]),
            )
            for way in line["variants"]
        ),
        options=dict(line["options"]),
        environment=dict(line["environment"]),
        started=str(line["started"]),
    )


def round_line(
    variant: str, number: int, took_ns: int, came: Outcome | tuple[str, str]
) -> dict[str, Any]:
    """Return the line of a round: its outcome, or a verdict and a reason where it has none."""
    line: dict[str, Any] = {"kind": "round", "variant": variant, "round": number}
    line["took_ns"] = took_ns
    if isinstance(came, tuple):
        verdict, reason = came
        return line | {"verdict": verdict, "reason": reason, "outcome": None}
    tree = as_json.tree(came)
    for of_the_run in ("schema", "environment", "samples"):
        del tree[of_the_run]
    return line | {"verdict": tree["verdict"], "reason": tree["reason"], "outcome": tree}


def end_line(end: End, rounds: int, ended: str) -> dict[str, Any]:
    """Return the last line of a run: why it ended, after how many rounds, and when."""
    return {
        "kind": "end",
        "why": end.why,
        "reason": end.reason,
        "rounds": rounds,
        "ended": ended,
    }
