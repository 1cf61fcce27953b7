"""Does the suite notice a kernel that breaks the contract? `make mutants` tries every mutation."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.kmod import module
from oomctl.lab import stock
from oomctl.smoke import suite
from tests.lab.mutants import DEADLY, FUZZ_ROUNDS, FUZZED, MUTATIONS, UNSEEN

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("OOMCTL_MUTANTS") != "1",
        reason="boots a virtual machine for each mutation, minutes: `make mutants`",
    ),
    pytest.mark.timeout(1800),
]

SOURCE = "bpf_oom_kfunc.c"


def among(names):
    """Have the module with each of some mutations."""
    found = [each for each in MUTATIONS if each.name in names]
    return pytest.mark.parametrize("mutant", found, ids=lambda m: m.name, indirect=True)


@pytest.fixture
def mutant(tmp_path, request):
    mutation = request.param
    return mutation, built(tmp_path, mutation.old, mutation.new)


@among({each.name for each in MUTATIONS})
def test_a_mutant_is_killed_and_by_the_right_case(mutant, record_property):
    mutation, path = mutant
    patterns = os.environ.get("OOMCTL_MUTANT_CASES", "").split() or groups(mutation.blamed)
    done = lab_smoke("--module", str(path), "--exclude", "panic", *patterns)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [one["name"] for one in lines if one["kind"] == "case" and one["result"] == "failed"]
    record_property("failed", ", ".join(failed))
    print(f"\n{mutation.name}: {len(failed)} of {len(lines)} fail: {', '.join(failed)}")
    assert done.returncode == 1, done.stderr.decode()
    for pattern in mutation.blamed:
        assert fnmatch.filter(failed, pattern), f"{pattern} did not notice; but {failed}"


@pytest.mark.parametrize(
    ("parameters", "variant"),
    [("int order, bool flags", "v1"), ("int order, u32 flags", "unknown")],
)
def test_another_shape_of_the_kfunc_is_named_and_nothing_is_asked(tmp_path, parameters, variant):
    path = built(tmp_path, "int order, u64 flags)", f"{parameters})")
    done = lab_smoke("--module", str(path), "returns", "loadtime.nongpl")
    assert done.returncode == 3, done.stderr.decode()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["environment"]["kfunc"]["variant"] == variant
    reasons = {line["reason"] for line in lines if line["kind"] == "case"}
    assert all(f"has the shape of {variant}: int bpf_out_of_memory(" in why for why in reasons)


def fuzzed(path, seconds):
    """Run fuzz with a module until it has found something."""
    words = ["--timeout", str(seconds), "--module", str(path), "--", "oomctl", "fuzz", "-f", "json"]
    most = ["--seed", "1", "--rounds", str(FUZZ_ROUNDS), "--findings", "1"]
    return subprocess.run(
        [sys.executable, "-m", "oomctl", "lab", "run", *words, *most],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


@among(FUZZED)
def test_fuzz_finds_a_mutant_and_shrinks_it(mutant):
    mutation, path = mutant
    done = fuzzed(path, 1500)
    assert done.returncode == 1, done.stderr.decode()
    finding = json.loads(done.stdout)["findings"][-1]
    seen = f"{finding['seen']} of {finding['tried']} times"
    print(f"\n{mutation.name}: case {finding['case']}, {finding['hogs']} hogs, {seen}")
    assert finding["seen"] > 0
    assert finding["hogs"] <= 3


@among(DEADLY)
def test_fuzz_notices_a_mutant_that_spoils_the_guest(mutant):
    mutation, path = mutant
    done = fuzzed(path, 240)
    assert done.returncode in (1, 124, 125), done.stderr.decode()
    found = re.search(rb"case 1:(\d+)\.\d+ differs", done.stderr)
    assert found, done.stderr.decode()
    print(f"\n{mutation.name}: round {int(found[1])}, exit {done.returncode}")


def built(folder, old, new):
    """Build the module for the stock kernel with one line changed."""
    sources = folder / "sources"
    shutil.copytree(resources.kernel_sources(), sources)
    text = (sources / SOURCE).read_text()
    assert text.count(old) == 1, f"{old!r} is not there (once): mend tests/lab/mutants.py"
    (sources / SOURCE).write_text(text.replace(old, new))
    headers = stock.get().headers
    assert headers
    return module.build(headers, folder / "built", sources)


def lab_smoke(*words):
    return subprocess.run(
        [sys.executable, "-m", "oomctl", "lab", "smoke", "--format", "jsonl", *words],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def groups(patterns):
    """Name the groups of the blamed cases: the rest of the suite takes time and adds nothing."""
    return sorted({pattern.partition(".")[0] for pattern in patterns})


def test_a_valid_module_lives(tmp_path):
    """What kills the mutants is the mutation, and not that the module is another one."""
    path = built(tmp_path, "for the report only", "for the report alone")
    done = lab_smoke("--module", str(path), "arguments.flags-*")
    assert done.returncode == 0, done.stdout.decode()


def test_of_each_mutant_it_is_known_what_fuzz_makes_of_it():
    assert sorted([*FUZZED, *DEADLY, *UNSEEN]) == sorted(each.name for each in MUTATIONS)


def test_every_blamed_case_exists():
    names = [case.name for case in suite.cases()]
    for mutation in MUTATIONS:
        for pattern in mutation.blamed:
            assert fnmatch.filter(names, pattern), pattern
