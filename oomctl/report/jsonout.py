"""An outcome as one JSON object."""

import json

from oomctl import plain
from oomctl.outcome import Outcome


def render(outcome: Outcome) -> str:
    """Return the object, indented, with a newline at the end."""
    return json.dumps(plain.tree(outcome), indent=2) + "\n"
