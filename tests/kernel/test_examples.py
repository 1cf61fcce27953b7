"""Every example runs as it stands and ends as it says."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDS_KERNELS = {"bisect"}  # tried by tests/test_bisect.py and tests/lab/test_bisect.py
SCRIPTS = sorted(
    path for path in (ROOT / "examples").glob("*.sh") if path.stem not in BUILDS_KERNELS
)
SCENARIOS = sorted((ROOT / "examples").glob("*.toml"))
WHOLE_SYSTEM = {"global"}


def test_there_are_examples():
    assert SCRIPTS
    assert len(SCENARIOS) >= 12


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda path: path.stem)
def test_script(example):
    done = subprocess.run([example], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(oomctl, example):
    consent = ["--yes"] if example.stem in WHOLE_SYSTEM else []
    result = oomctl("run", str(example), "--format", "json", *consent)
    assert result.exit_code == 0, result.stdout + result.stderr
    (one,) = json.loads(result.stdout)["runs"][0]["rounds"]
    checks = one["outcome"]["checks"]
    assert checks
    assert [check for check in checks if check["passed"] is not True] == []
