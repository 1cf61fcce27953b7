"""An outcome as JSON lines: one declaration each, complete by itself, to be appended to a file."""

import json

from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome


def render(outcome: Outcome) -> str:
    """Return a line for each declaration, with the tasks that died of it."""
    lines = [
        {
            "schema": as_json.SCHEMA,
            "environment": as_json.environment(outcome.environment),
            "declaration": index,
            "call": as_json.call(declared),
            "tasks": [as_json.task(fated) for fated in outcome.tasks if fated.call == index],
            "verdict": declared.verdict.name,
            "reason": declared.verdict.reason,
        }
        for index, declared in enumerate(outcome.calls)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)
