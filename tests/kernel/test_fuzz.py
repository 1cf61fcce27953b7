"""`oomctl fuzz` on a real kernel: it agrees with the model; a planted fault is found and shrunk.

OOMCTL_FUZZ is the number of rounds, OOMCTL_FUZZ_SEED their seed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.experiment.environment import require_kfunc
from oomctl.fuzz import repro
from oomctl.fuzz.bench import Bench
from oomctl.fuzz.case import Case
from oomctl.fuzz.finding import Expected, Finding
from oomctl.fuzz.hunt import Hunt
from oomctl.fuzz.weights import SAYABLE, SWITCHES
from oomctl.oom import prediction
from oomctl.oom.enums import Do, Oracle, ReproForm, Via
from oomctl.oom.plan import Call, Hog, Step
from tests.schemas import validator

ROUNDS = int(os.environ.get("OOMCTL_FUZZ", "30"))
SEED = os.environ.get("OOMCTL_FUZZ_SEED", "18")


def switches():
    """Return what the switches of this kernel are set to."""
    paths = (
        Path(each.file) if each.do == Do.SYSFS else Path("/proc/sys", *each.file.split("."))
        for each in SWITCHES
    )
    return {path: path.read_text() for path in paths if path.exists()}


@pytest.mark.timeout(300 + 10 * ROUNDS)
def test_kernel_and_model_agree(oomctl, capsys):
    before = switches()
    result = oomctl("fuzz", "--rounds", str(ROUNDS), "--seed", SEED, "--switches", "-f", "json")
    assert before == switches()
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
    steps = [row["which"] for row in tree["coverage"] if row["what"] == "step"]
    for path in before:
        assert any(path.match(f"{step.split()[0].replace('.', '/')}") for step in steps), path
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


CALLS = {
    "limit": Step(Call(".", via=Via.LIMIT, amount=4 << 20)),
    "kfunc": Step(Call(".", 3, 1)),
}


@pytest.mark.skipif(not shutil.which("cc"), reason="a C compiler builds it")
@pytest.mark.parametrize("form", ReproForm)
@pytest.mark.parametrize("call", CALLS)
def test_a_finding_is_rebuilt_without_oomctl(form, call, tmp_path):
    """The model's expectation holds, and another is told from it."""
    hogs = (
        Hog("hog0", 8 << 20, -1000, "a", entry="hog0"),
        Hog("hog1", 16 << 20, -1000, "a", "shmem", entry="hog1"),
        Hog("hog2", 12 << 20, cgroup="b", kind="threads", entry="hog2", tasks=2),
        Hog("hog3", 1 << 20, cgroup="b", kind="shared", entry="hog3", sharer="a"),
    )
    files = {".": {"memory.swap.max": "0"}, "a": {}, "b": {"memory.oom.group": "1"}}
    case = Case(hogs, files, (CALLS[call],))
    declare = tmp_path / "declare"
    text = '[[call]]\ntarget = "%s"\norder = %s\nflags = %s\n'
    declare.write_text(
        f'printf \'{text}\' "$CGROUP" "$ORDER" "$FLAGS" >{tmp_path}/x.toml\n'
        f"{sys.executable} -m oomctl run {tmp_path}/x.toml\n"
    )
    for victims, code in ((("hog2", "hog3"), 0), (("hog0",), 1)):
        expected = (Expected(1, victims),)
        finding = Finding(case, "7:1.0", (), expected, 5, 5, True, "6.12")
        program = tmp_path / f"repro.{form}"
        program.write_text(repro.text(finding, form))
        words = ["sh", str(program)]
        if form == ReproForm.C:
            words = [str(tmp_path / "repro")]
            subprocess.run(["cc", "-o", *words, str(program)], check=True)
        done = subprocess.run(
            [*words, f"sh {declare}"], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert re.search(r"died:? +hog2 hog3\b", done.stdout), done.stdout
        assert not Path("/sys/fs/cgroup/oom-repro").exists()
