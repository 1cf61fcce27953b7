"""`oomctl lab run` as the tests start it."""

import os
import subprocess
import sys

import pytest

MARKS = [
    pytest.mark.skipif(
        os.environ.get("OOMCTL_LAB_TESTS") != "1",
        reason="boots virtual machines, minutes of them: set OOMCTL_LAB_TESTS=1",
    ),
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("nothing_is_left"),
]

LAB = [sys.executable, "-m", "oomctl", "lab", "run"]


def lab(*words, **options):
    return subprocess.run([*LAB, *words], capture_output=True, check=False, **options)
