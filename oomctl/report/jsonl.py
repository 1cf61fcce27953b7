"""An outcome as JSON lines: one declaration each, complete by itself, to be appended to a file."""

import json

from oomctl import plain
from oomctl.outcome import Outcome


def render(outcome: Outcome) -> str:
    """Return a line for each declaration, with the tasks that died of it."""
    lines = [
        {
            "schema": plain.SCHEMA,
            "environment": plain.environment(outcome.environment),
            "declaration": index,
            "call": plain.call(declared),
            "tasks": [plain.task(fated) for fated in outcome.tasks if fated.call == index],
            "verdict": declared.verdict.name,
            "reason": declared.verdict.reason,
        }
        for index, declared in enumerate(outcome.declared)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)
