"""`make check` holds the layers: an import that breaks a contract fails, under its name."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BROKEN = {
    "a layer imports only what stands below it": ("oom/plan.py", "import oomctl.cgroup.node"),
    "no import circle": ("smoke/facts.py", "import oomctl.smoke.case"),
    "the model, its words and its forms do no I/O": ("describe/plan_text.py", "import subprocess"),
    "the kernel log is read without the model": ("oom/log/logrecord.py", "import oomctl.oom.task"),
    "cgroupspy only in cgroup/": ("proc/procfs.py", "import cgroupspy"),
    "typer only in cli/": ("lab/vm.py", "import typer"),
    "tabulate only in report/parts.py": ("report/outcome_parts.py", "import tabulate"),
}


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(ROOT / "oomctl", tmp_path / "oomctl", ignore=shutil.ignore_patterns("built"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree):
    words = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(words, cwd=tree, capture_output=True, text=True).stdout


def test_the_tree_keeps_every_contract_and_each_can_be_broken(tree):
    said = lint(tree)
    assert all(f"{name} KEPT" in said for name in BROKEN), said
    assert f"Contracts: {len(BROKEN)} kept, 0 broken." in said
    for name, (file, line) in BROKEN.items():
        path = tree / "oomctl" / file
        before = path.read_text()
        path.write_text(f"{before}\n{line}\n")
        assert f"{name} BROKEN" in lint(tree), name
        path.write_text(before)
