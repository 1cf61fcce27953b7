"""`oomctl fuzz` on a real kernel: it agrees with the model; a planted fault is found and shrunk.

OOMCTL_FUZZ is the number of rounds, OOMCTL_FUZZ_SEED their seed.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.experiment.environment import require_kfunc
from oomctl.fuzz.bench import Bench
from oomctl.fuzz.generator import SAYABLE
from oomctl.fuzz.hunt import Hunt
from oomctl.oom import prediction
from oomctl.oom.enums import Oracle
from tests.schemas import validator

ROUNDS = int(os.environ.get("OOMCTL_FUZZ", "30"))
SEED = os.environ.get("OOMCTL_FUZZ_SEED", "18")


@pytest.mark.timeout(300 + 10 * ROUNDS)
def test_kernel_and_model_agree(oomctl, capsys):
    result = oomctl("fuzz", "--rounds", str(ROUNDS), "--seed", SEED, "-f", "json")
    tree = json.loads(result.stdout)
    validator("fuzz-schema.json").validate(tree)
    with capsys.disabled():
        rate = tree["experiments"] / tree["seconds"]
        print(f"\n{tree['rounds']}, {rate:.1f} experiments a second")
        print(*(each["scenario"] for each in tree["findings"]), sep="\n")
    # what is never seen again is shown, and is no reason to fail
    assert [each for each in tree["findings"] if each["seen"]] == [], result.stdout
    assert tree["rounds"]["not-filled"] == 0
    assert sum(tree["rounds"].values()) == ROUNDS
    assert result.exit_code == (1 if tree["findings"] else 0)


@pytest.mark.timeout(600)
def test_a_planted_fault_is_found_and_shrunk(monkeypatch, tmp_path, oomctl):
    """The model forgets memory.oom.group; its scenario then fails on a kernel that does not."""
    predict = prediction.predict

    def without_groups(tasks, totalpages, page_size, _groups):
        return predict(tasks, totalpages, page_size, frozenset())

    monkeypatch.setattr(prediction, "predict", without_groups)
    weights = replace(SAYABLE, kinds=("anon",), group=0.8)
    with Bench(hierarchy.unified_root(), require_kfunc()) as bench:
        kernel = bench.environment.kernel
        hunt = Hunt(bench.run, 1, weights, kernel)
        for number in range(1, 31):
            hunt.round(number)
            if hunt.findings:
                break
    (finding,) = hunt.findings
    assert Oracle.VICTIMS in finding.oracles
    assert len(finding.case.hogs) <= 3
    assert finding.seen
    monkeypatch.undo()
    path = Path(tmp_path, finding.file_name)
    path.write_text(finding.text())
    failed = oomctl("run", str(path))
    assert failed.exit_code == 1, failed.stderr
    assert "group-killed" in failed.stdout
