"""An outcome as one JSON object."""

import json

from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome


def render(outcome: Outcome) -> str:
    """Return the object, indented, with a newline at the end."""
    return json.dumps(as_json.tree(outcome), indent=2) + "\n"
