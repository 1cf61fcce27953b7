"""The name of a run's top cgroup; a plan needs it, and nothing else of this folder."""

import os


def unique_name() -> str:
    """Return a name for a top cgroup that no other run has."""
    return f"oomctl-{os.getpid()}-{os.urandom(3).hex()}"
