"""Does the suite notice a kernel that breaks the contract? `make mutants` tries every mutation."""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.kmod import module
from oomctl.lab import stock
from oomctl.smoke import suite
from tests.lab.mutants import MUTATIONS

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("OOMCTL_MUTANTS") != "1",
        reason="boots a virtual machine for each mutation, minutes: `make mutants`",
    ),
    pytest.mark.timeout(1800),
]

SOURCE = "bpf_oom_kfunc.c"


@pytest.fixture
def mutant(tmp_path, request):
    """The module with one line changed, built for the stock kernel."""
    sources = tmp_path / "sources"
    shutil.copytree(resources.kernel_sources(), sources)
    text = (sources / SOURCE).read_text()
    mutation = request.param
    assert text.count(mutation.old) == 1, "the line is not there (once): mend tests/lab/mutants.py"
    (sources / SOURCE).write_text(text.replace(mutation.old, mutation.new))
    headers = stock.get().headers
    assert headers
    return mutation, module.build(headers, tmp_path / "built", sources)


@pytest.mark.parametrize("mutant", MUTATIONS, ids=lambda m: m.name, indirect=True)
def test_a_mutant_is_killed_and_by_the_right_case(mutant, record_property):
    mutation, path = mutant
    patterns = os.environ.get("OOMCTL_MUTANT_CASES", "").split() or groups(mutation.blamed)
    command = [sys.executable, "-m", "oomctl", "lab", "smoke", "--format", "jsonl"]
    done = subprocess.run(
        [*command, "--module", str(path), "--exclude", "panic", *patterns],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [one["name"] for one in lines if one["kind"] == "case" and one["result"] == "failed"]
    record_property("failed", ", ".join(failed))
    print(f"\n{mutation.name}: {len(failed)} of {len(lines)} fail: {', '.join(failed)}")
    assert done.returncode == 1, done.stderr.decode()
    for pattern in mutation.blamed:
        assert fnmatch.filter(failed, pattern), f"{pattern} did not notice; but {failed}"


def groups(patterns):
    """Name the groups of the blamed cases: the rest of the suite takes time and adds nothing."""
    return sorted({pattern.partition(".")[0] for pattern in patterns})


def test_a_sound_module_lives(tmp_path):
    """What kills the mutants is the mutation, and not that the module is another one."""
    headers = stock.get().headers
    path = module.build(headers, tmp_path / "built", resources.kernel_sources())
    command = [sys.executable, "-m", "oomctl", "lab", "smoke", "--module", str(path)]
    done = subprocess.run([*command, "arguments.flags-*"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_every_blamed_case_exists():
    names = [case.name for case in suite.cases()]
    for mutation in MUTATIONS:
        for pattern in mutation.blamed:
            assert fnmatch.filter(names, pattern), pattern
