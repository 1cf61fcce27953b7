"""`oomctl run` on a real kernel: many rounds, variants side by side, records, ends of all kinds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kernel.conftest import CGROUPS, leftovers
from tests.results import rises_of

EXAMPLES = Path(__file__).parents[2] / "examples"
SOAK_ROUNDS = int(os.environ.get("OOMCTL_SOAK_ROUNDS", "10"))


@pytest.fixture
def run(oomctl, tmp_path, monkeypatch):
    """Run `oomctl run --format json` in a folder of its own; return exit code and result."""
    monkeypatch.chdir(tmp_path)

    def running(name, *options):
        result = oomctl("run", str(EXAMPLES / f"{name}.toml"), "--format", "json", *options)
        assert result.exit_code in (0, 1), result.stderr
        return result.exit_code, json.loads(result.stdout)["runs"][0]

    return running


def returned(result, variant):
    rounds = [one["outcome"] for one in result["rounds"] if one["variant"] == variant]
    return [call["errno"] or call["ret"] for outcome in rounds for call in outcome["calls"]]


def test_ebusy_comes_without_waiting_only(run, tmp_path):
    code, result = run(
        "parallel-wait",
        *("--repeat", "6", "--vary", "call[0].wait=true,false", "--set", "call[0].callers=8"),
        # as many as callers: the last one may find all others dead
        *("--set", "hog.victim.count=8", "--set", "expect.kills=1..8"),
        *("--set", 'call[0].expect.returns=[1,"EBUSY"]', "--set", "expect.returns={}"),
    )
    assert code == 0, result["rounds"]
    assert len(result["rounds"]) == 12
    assert returned(result, "wait=true") == [1] * 48
    assert set(returned(result, "wait=false")) == {1, "EBUSY"}
    (record,) = tmp_path.glob("oomctl-parallel-wait-*.jsonl")
    kinds = [json.loads(line)["kind"] for line in record.read_text().splitlines()]
    assert kinds == ["run", *["round"] * 12, "end"]


def test_the_same_victim_by_kfunc_and_limit_with_different_counters(run):
    """By a limit that takes more than the kernel has charged in advance (drain_all_stock())."""
    limit = ("--set", "call[*].via=limit", "--set", "call[*].amount=8M")
    variants = {"bpf": (), "limit": limit}
    rises = {}
    for via, more in variants.items():
        _code, result = run("triggers", *more, "--repeat", "3")
        outcomes = [one["outcome"] for one in result["rounds"]]
        for outcome in outcomes:
            dead = [task["name"] for task in outcome["tasks"] if task["fate"] == "oom-killed"]
            assert "large" in dead, (via, outcome["reason"], outcome["tasks"])
        rises[via] = [rises_of(outcome, outcome["top"]) for outcome in outcomes]
    assert {rise["oom"] for rise in rises["bpf"]} == {0}
    assert all(rise["oom"] > 0 for rise in rises["limit"])
    assert all(rise["oom_kill"] > 0 for either in rises.values() for rise in either)


@pytest.mark.parametrize(("name", "kills"), [("needless-kill", 1), ("recheck", 0)])
def test_waiting_kills_needlessly_and_rechecking_does_not(run, name, kills):
    """The last call of each comes when enough are dead: waiting it kills, rechecking it is spared.

    The calls of the first step are not compared: how many of them kill depends on how fast the
    memory of a victim becomes free.
    """
    code, found = run(name, "--repeat", "3")
    assert code == 0
    for one in found["rounds"]:
        first, *_, last = one["outcome"]["calls"]
        assert first["step"] < last["step"]
        assert (len(last["killed_pids"]), last["spared"]) == (kills, not kills)


def test_a_soak_leaves_nothing_and_grows_nothing(tmp_path):
    """In a process of its own: what pytest captures is no growth of oomctl's."""
    command = [sys.executable, "-m", "oomctl", "run", str(EXAMPLES / "soak.toml"), "--no-record"]
    subprocess.run(
        [*command, "--repeat", str(SOAK_ROUNDS), "--format", "json", "--output", "soak.json"],
        cwd=tmp_path,
        check=True,
    )
    result = json.loads((tmp_path / "soak.json").read_text())["runs"][0]
    outcomes = [one["outcome"] for one in result["rounds"]]
    assert len(outcomes) == SOAK_ROUNDS
    assert sum(len(outcome["calls"]) for outcome in outcomes) == 3 * SOAK_ROUNDS
    assert leftovers() == []
    held = [outcome["own_rss_bytes"] for outcome in outcomes]
    # Steps of the heap come and go with the largest line; a leak would lift the lowest too. The
    # first rounds still load what Python imports late.
    quarter = len(held) // 4
    assert min(held[-quarter:]) - max(held[quarter : 2 * quarter]) < 1 << 20, held
    assert all(outcome["nr_dying_descendants"] is not None for outcome in outcomes)
    print("own RSS", held[0], held[len(held) // 2], held[-1], "highest", max(held))
    print("dying cgroups", [outcome["nr_dying_descendants"] for outcome in outcomes][::10])


def test_a_run_that_is_killed_loses_no_round(oomctl, tmp_path):
    record = tmp_path / "killed.jsonl"
    command = [sys.executable, "-m", "oomctl", "run", str(EXAMPLES / "soak.toml")]
    child = subprocess.Popen(
        [*command, "--repeat", "1000", "--same-tree", "--record", str(record)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not record.exists() or record.read_text().count("\n") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    rounds = record.read_text().count('"kind": "round"')
    result = oomctl("report", str(record), "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)["runs"][0]["rounds"]) == rounds >= 3
    while any(procs.read_text() for procs in CGROUPS.glob("oomctl-*/*/cgroup.procs")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "removed" in oomctl("clean").stdout


@pytest.mark.parametrize("parent", ["self", "path"])
def test_a_tree_below_a_delegated_cgroup(cgroup, parent):
    """In its own cgroup oomctl moves aside first, and back afterwards."""
    where = "self" if parent == "self" else str(cgroup)
    command = [sys.executable, "-m", "oomctl", "run", str(EXAMPLES / "largest-dies.toml")]
    child = subprocess.run(
        [*command, "--parent", where, "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: parent == "self" and (cgroup / "cgroup.procs").write_text("0"),
    )
    assert child.returncode == 0, child.stderr
    (one,) = json.loads(child.stdout)["runs"][0]["rounds"]
    assert one["outcome"]["top"].startswith(f"/{cgroup.name}/oomctl-")
    assert [path for path in cgroup.iterdir() if path.is_dir()] == []


def test_a_hog_that_its_limit_kills_is_told_apart_from_the_victim(run):
    code, result = run("too-large")
    assert code == 0
    (one,) = result["rounds"]
    tasks = {task["name"]: task for task in one["outcome"]["tasks"]}
    assert (tasks["greedy"]["fate"], tasks["greedy"]["phase"]) == ("oom-killed", "filling")
    place = tasks["greedy"]["cgroup"]
    assert tasks["greedy"]["failed"] == (
        f"could not fill its memory: oom-killed: memory.max of {place} (16M) is reached"
    )
    assert tasks["content"]["fate"] == "oom-killed"
