"""Do the tests notice faults of oomctl's own model and accounting? `make mutants` tries all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.model import MUTATIONS
from tests.mutants.plant import NAME

ROOT = Path(__file__).parents[2]
SLICE = ("tie-to-the-first", "any-victim-is-right", "a-victim-may-live")
"""Those that are tried with every test run."""
ALL = os.environ.get("OOMCTL_MUTANTS") == "1"


def run(name, *words):
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, NAME: name},
    )


def fuzz(name):
    done = run(name, "-m", "tests.mutants.hunt")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unit(mutation):
    """Return the first unit test that fails; the module's own come first."""
    stem = Path(mutation.file).stem
    folder = f"tests/unit/{mutation.unit}"
    own = f"{folder}/test_{stem}.py"
    for path in (own, folder) if (ROOT / own).exists() else (folder,):
        words = ("-m", "pytest", "-p", "tests.mutants.plant", "-p", "no:cacheprovider", "-qx", path)
        done = run(mutation.name, *words)
        failed = [row for row in done.stdout.splitlines() if row.startswith(("FAILED", "ERROR"))]
        if failed:
            return failed[0].split()[1].partition("[")[0].removeprefix("tests/unit/")
        assert done.returncode == 0, done.stdout + done.stderr
    return None


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_mutant_is_noticed(mutation):
    if not ALL and mutation.name not in SLICE:
        pytest.skip("half a minute for each: `make mutants`")
    found, failed = fuzz(mutation.name), unit(mutation)
    rounds = f"round {found['round']}, {found['hogs']} hogs, {found['oracles']}" if found else "-"
    print(f"\n{mutation.name} | {failed or '-'} | {rounds}")
    assert found or failed
    assert not found or found["hogs"] is None or found["hogs"] <= 3


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_of_one_place(mutation):
    text = (ROOT / "oomctl" / mutation.file).read_text()
    assert text.count(mutation.old) == 1, f"{mutation.old!r} is not there (once)"


def test_there_are_enough_and_the_slice_is_of_them():
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) == len({*names}) >= 25
    assert {*SLICE} <= {*names}


def test_without_a_fault_nothing_is_found():
    assert fuzz("") is None
