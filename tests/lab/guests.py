"""`oomctl lab run` as the tests start it."""

import os
import subprocess
import sys

import pytest


def marks(seconds=300):
    """Return the marks of a module; the first timeout in a list of marks is the one that counts."""
    return [
        pytest.mark.skipif(
            os.environ.get("OOMCTL_LAB_TESTS") != "1",
            reason="boots virtual machines, minutes of them: set OOMCTL_LAB_TESTS=1",
        ),
        pytest.mark.timeout(seconds),
        pytest.mark.usefixtures("nothing_is_left"),
    ]


MARKS = marks()

LAB = [sys.executable, "-m", "oomctl", "lab", "run"]


def lab(*words, **options):
    return subprocess.run([*LAB, *words], capture_output=True, check=False, **options)
