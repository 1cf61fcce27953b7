"""examples/ci/ plugs in: each piece is run by its own system's tool, or as that runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.hints import typed

ROOT = Path(__file__).parents[1]
CI = ROOT / "examples/ci"
FAKE = """#!{python}
import sys
sys.path.insert(0, {root!r})
from oomctl.cli import exitcodes
from tests.unit.smoke.fake_suite import CASES, report, told
words = sys.argv[1:]
assert words.pop(0) == "smoke", words
given = {{}}
while any(word.startswith("-") for word in words):
    at = next(n for n, word in enumerate(words) if word.startswith("-"))
    given[words[at]] = words[at + 1]
    del words[at : at + 2]
whole = report([case for case in CASES if not words or case.group in words])
text = "".join(told(given["-f"], whole))
open(given["-o"], "w").write(text) if "-o" in given else sys.stdout.write(text)
sys.exit(exitcodes.translated(given.get("--exit-codes", "default"), whole.exit))
"""


def tool(name):
    """Return the path of a harness's program; `make` installs it with the extra `dev`."""
    return str(Path(sys.executable).with_name(name))


@pytest.fixture
def place(tmp_path):
    """A folder with a copy of the examples, and an `oomctl` first in PATH that asks no kernel."""
    shutil.copytree(CI, tmp_path / "ci")
    program = tmp_path / "bin/oomctl"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable, root=str(ROOT)))
    program.chmod(0o755)
    return tmp_path


def run(place, *words, cwd=".", **more):
    environment = os.environ | {"PATH": f"{place}/bin:{os.environ['PATH']}", "HOME": str(place)}
    return subprocess.run(
        words,
        cwd=place / cwd,
        env=environment | more.pop("env", {}),
        capture_output=True,
        text=True,
        **more,
    )


def test_every_command_line_can_be_typed():
    lines = []
    for path in sorted(CI.rglob("*")):
        if path.is_file():
            text = re.sub(
                r" \$\w+|\"\$@\" ?|\"\$TMT_TEST_DATA/results.yaml\"", " x", path.read_text()
            )
            lines += re.findall(
                r"(?:exec |run: |test: |^oomctl-\w+ |    )(oomctl (?:lab )?smoke [^|#\n]*)",
                text,
                re.M,
            )
    assert len(lines) >= 18
    for line in lines:
        words = line.replace(" x", " lock", 1) if " x" in line else line
        assert not typed(words.strip()), line


def test_lava_on_a_device_and_elsewhere(place):
    helper = place / "bin/lava-test-case"
    done = run(place, "sh", "oomctl.sh", "oomctl", "lock", cwd="ci/lava")
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "ci/lava/output/result.txt").read_text() == done.stdout
    assert done.stdout.splitlines()[0] == "lava-test-set start lock"
    helper.write_text("")
    helper.chmod(0o755)
    done = run(place, "sh", "oomctl.sh", "oomctl", "lock", cwd="ci/lava")
    assert "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=busy RESULT=fail" in done.stdout


def test_lavas_definition_is_one():
    yaml = pytest.importorskip("yaml", reason="pip install -e '.[dev]' brings pyyaml")
    tree = yaml.safe_load((CI / "lava/oomctl.yaml").read_text())
    assert tree["metadata"]["format"] == "Lava-Test Test Definition 1.0"
    assert {"name", "description", "maintainer", "os", "scope", "devices"} <= tree[
        "metadata"
    ].keys()
    steps = tree["run"]["steps"]
    assert all(isinstance(step, str) for step in steps)
    used = set(re.findall(r"\$\{(\w+)\}", " ".join(steps)))
    assert used == tree["params"].keys()


def test_tmt_finds_plan_and_test_and_its_command_writes_the_results(place):
    folder = place / "ci/tmt"
    (folder / ".fmf").mkdir()
    (folder / ".fmf/version").write_text("1\n")
    done = run(place, tool("tmt"), "lint", "--enforce-check", "T001", cwd="ci/tmt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/oomctl" in done.stdout
    assert "/plan" in done.stdout
    assert not re.search(r"^\s*fail ", done.stdout, re.M), done.stdout
    [command] = re.findall(r"^test: (.*)", (folder / "oomctl.fmf").read_text(), re.M)
    done = run(place, "sh", "-c", command, env={"CASES": "lock", "TMT_TEST_DATA": str(place)})
    assert done.returncode == 1
    assert (place / "results.yaml").read_text().startswith('- {"name": "/", "result": "fail"')


def test_kirk_runs_the_suite(place):
    root = place / "ltp"
    shutil.copytree(place / "ci/ltp", root)
    (root / "testcases/bin").mkdir(parents=True)
    kept = re.findall(
        r"^(?:oomctl-(?:arguments|lock|system) .*)$", (root / "runtest/oomctl").read_text(), re.M
    )
    assert len(kept) == 3
    (root / "runtest/oomctl").write_text("\n".join(kept))
    result = place / "result.json"
    words = [tool("kirk"), "--run-suite", "oomctl", "--json-report", result, "--no-colors"]
    done = run(place, *words, "--tmp-dir", place, env={"LTPROOT": str(root)})
    assert result.exists(), done.stdout + done.stderr
    tree = json.loads(result.read_text())
    assert {each["test_fqn"]: each["status"] for each in tree["results"]} == {
        "oomctl-arguments": "pass",
        "oomctl-lock": "fail",
        "oomctl-system": "conf",
    }
    stats = tree["stats"]
    assert [stats[name] for name in ("passed", "failed", "broken", "skipped")] == [3, 1, 0, 1]


def test_lkp_runs_and_parses(place):
    yaml = pytest.importorskip("yaml", reason="pip install -e '.[dev]' brings pyyaml")
    run_, parse = (place / "ci/lkp/programs/oomctl" / name for name in ("run", "parse"))
    done = run(place, run_, env={"groups": "lock system"})
    parsed = run(place, parse, input=done.stdout).stdout.splitlines()
    assert parsed == [
        "lock.busy.fail: 1",
        "lock.wait.pass: 1",
        "system.largest.skip: 1",
        "passed: 1",
        "failed: 1",
    ]
    job = yaml.safe_load((CI / "lkp/jobs/oomctl.yaml").read_text())
    assert job["oom-killer"] == {"ignored": 1}
    meta = yaml.safe_load((CI / "lkp/programs/oomctl/meta.yaml").read_text())
    assert meta["parameters"].keys() == job["oomctl"].keys()


@pytest.mark.parametrize(("words", "code"), [((), 1), (("arguments",), 0), (("system",), 4)])
def test_kselftest_reads_the_exit_code(place, words, code):
    done = run(place, "sh", "ci/kselftest/oomctl.sh", *words)
    assert done.returncode == code
    assert done.stdout.startswith("KTAP version 1\n")


def test_kselftest_without_oomctl_skips(place):
    done = run(place, "/bin/sh", "ci/kselftest/oomctl.sh", env={"PATH": "/nonexistent"})
    assert (done.returncode, done.stdout) == (4, "1..0 # SKIP oomctl is not installed\n")


def test_the_workflow_is_yaml():
    yaml = pytest.importorskip("yaml", reason="pip install -e '.[dev]' brings pyyaml")
    tree = yaml.safe_load((CI / "github/oomctl.yml").read_text())
    steps = tree["jobs"]["contract"]["steps"]
    assert Counter(bool(step.keys() & {"run", "uses"}) for step in steps) == {True: len(steps)}


def test_each_says_how_to_use_it():
    told = (ROOT / "docs/ci.md").read_text()
    for folder in CI.iterdir():
        assert f"examples/ci/{folder.name}" in told
