"""Four counts of the same kills: of real groups, sharers, kills elsewhere and removed cgroups."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.experiment.watch import OomWatch
from oomctl.oom.enums import CountSource
from tests.kernel.conftest import CGROUPS

MIB = 1 << 20


@pytest.fixture
def run(oomctl, tmp_path, monkeypatch):
    """Run a scenario given as text; return what was counted in its one round."""
    monkeypatch.chdir(tmp_path)

    def running(text):
        Path("scenario.toml").write_text(text)
        result = oomctl("run", "scenario.toml", "--format", "json")
        assert result.exit_code in (0, 1), result.stderr
        (one,) = json.loads(result.stdout)["runs"][0]["rounds"]
        return one["outcome"]["kill_counts"]

    return running


def numbers(counts):
    return [counts[name] for name in ("tracing", "kernel_log", "memory_events", "vmstat")]


def rules(counts):
    return [(each["source"], each["fewer"], each["rule"]) for each in counts["differences"]]


def test_one_kill_is_counted_once_by_each(declare):
    _code, result = declare("--hog", "8M")
    counts = result["kill_counts"]
    assert (numbers(counts), rules(counts)) == ([1] * 4, [])


@pytest.mark.usefixtures("no_tracing")
def test_without_tracing_three_sources_are_left(declare):
    _code, result = declare("--hog", "8M")
    counts = result["kill_counts"]
    assert (numbers(counts), rules(counts)) == ([None, 1, 1, 1], [])


def test_a_call_without_a_victim_is_counted_by_none(declare):
    code, result = declare("--order", "11", "--hog", "4M")
    assert code == 1
    assert (numbers(result["kill_counts"]), rules(result["kill_counts"])) == ([0] * 4, [])


def test_a_groups_first_victim_is_counted_twice(run):
    """Held on its way out it still has its memory when the group is gone through."""
    counts = run(
        '[cgroup."."]\nmemory.oom.group = true\n[hog.small]\nsize = "4M"\n'
        '[hog.held]\nsize = "16M"\nkind = "traced"\nhold = 1\n'
    )
    assert (numbers(counts), rules(counts)) == ([2, 3, 3, 3], [("tracing", 1, "repeated")])


def test_a_sharer_has_no_record_and_no_count(run):
    counts = {}
    # a sharer may end with its hog (PR_SET_PDEATHSIG) before the kernel kills it
    for _ in range(8):
        counts = run(
            "[cgroup.elsewhere]\n"
            '[hog.sharing]\nsize = "16M"\nkind = "shared"\nsharer = "elsewhere"\n'
        )
        if numbers(counts) != [1] * 4:
            break
    assert (numbers(counts), rules(counts)) == ([2, 1, 1, 1], [("tracing", -1, "sharer")])


def die_in(folder):
    (folder / "memory.max").write_text(str(8 * MIB))
    if (folder / "memory.swap.max").exists():
        (folder / "memory.swap.max").write_text("0")
    pid = os.fork()
    if not pid:
        (folder / "cgroup.procs").write_text("0")
        _grown = b"x" * (64 * MIB)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_kills_elsewhere_and_in_removed_cgroups(cgroup):
    root = hierarchy.unified_root()
    gone = CGROUPS / "gone"
    gone.mkdir()
    with OomWatch(root, f"/{cgroup.name}") as one, OomWatch(root) as every:
        die_in(cgroup)
        die_in(gone)
        gone.rmdir()
        of_one, of_every = one.counts(), every.counts()
    assert of_one.counts[CountSource.MEMORY_EVENTS] == 1
    assert [each.rule for each in of_one.differences] == ["elsewhere"]
    assert of_every.counts[CountSource.MEMORY_EVENTS] == 1
    assert [each.rule for each in of_every.differences] == ["unplaced"]
    for counts in (of_one, of_every):
        assert [counts.counts[source] for source in CountSource if source != "memory.events"] == [
            *(2, 2, 2)
        ]


def test_a_watch_that_ends_says_what_was_counted(cgroup):
    command = [
        sys.executable,
        "-m",
        "oomctl",
        "watch",
        "--count",
        "1",
        "--timeout",
        "60",
        "-vf",
        "jsonl",
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "watching the OOM killer" not in child.stderr.readline():
            assert child.poll() is None
        die_in(cgroup)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, err
    kill, last = map(json.loads, out.splitlines())
    assert kill["memcg"] == f"/{cgroup.name}"
    assert (numbers(last["kill_counts"]), rules(last["kill_counts"])) == ([1] * 4, [])
