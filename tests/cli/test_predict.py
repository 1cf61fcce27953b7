import json
import os
import subprocess

import pytest

from oomctl.cgroup import hierarchy
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task
from oomctl.proc import procfs
from tests.cli.command import refused, run
from tests.schemas import validator

PAGE = procfs.PAGE_SIZE
TASKS = [
    Task(1, "init", "/", 0, 5 * PAGE, 0, 0, 0.0),
    Task(7, "kworker", "/", 0, 0, 0, 0, 0.0, has_mm=False, not_eligible_reason="kernel thread"),
    Task(20, "large|x", "/t", 0, 300 * PAGE, 0, PAGE, 0.0),
    Task(21, "small", "/t/in", 10, 30 * PAGE, 2 * PAGE, PAGE, 0.0),
    Task(22, "safe", "/t", -1000, 900 * PAGE, 0, 0, 0.0),
]


@pytest.fixture
def tasks(monkeypatch):
    """The machine's tasks, 5000 pages of RAM; a test may take some away."""
    found = list(TASKS)
    monkeypatch.setattr(
        "oomctl.cli.predict.read_candidates",
        lambda _node, _root: Candidates(found, 5000, PAGE, frozenset({"/t"})),
    )
    return found


@pytest.mark.parametrize("arguments", [(), ("--cgroup", "/t", "--global")])
def test_one_target_is_to_be_named(arguments):
    refused(run("predict", *arguments), 2, "--cgroup", "--global")


@pytest.mark.parametrize("top", ["0", "-1", "x"])
def test_a_top_that_is_none(top):
    refused(run("predict", "--global", "--top", top), 2, "--top")


@pytest.mark.usefixtures("tasks")
def test_the_table_shows_how_badness_is_made_up_and_what_would_die():
    result = run("predict", "--global")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "would die large|x (pid 20), small (pid 21)" in lines
    text = " ".join(lines)
    assert "why large|x: 301 pages; next small: 83" in lines
    assert "group memory.oom.group of /t takes 2 tasks, but not safe (pid 22) with" in text
    assert "1 20 large|x /t 301 300 0 1 0 0 die" in lines
    assert "2 21 small /t/in 83 30 2 1 10 50 die" in lines
    assert "- 22 safe /t - 900 0 0 -1000 - adj -1000" in lines
    assert "kworker" not in result.stdout
    assert "1 kernel thread" in result.stdout


@pytest.mark.usefixtures("tasks")
def test_json_has_the_numbers():
    result = run("predict", "--global", "--format", "json", "--top", "2")
    plain = json.loads(result.stdout)
    assert plain["schema"] == 3
    assert (plain["target"], plain["victims"], plain["group"]) == (None, [20, 21], "/t")
    assert (plain["totalpages"], plain["pages_per_adj_point"]) == (5000, 5)
    assert [c["badness_pages"] for c in plain["candidates"]] == [301, 83]
    assert [c["adj_pages"] for c in plain["candidates"]] == [0, 50]
    assert plain["candidates_left_out"] == 3


@pytest.mark.usefixtures("tasks")
def test_markdown_escapes_names():
    result = run("predict", "--global", "--format", "markdown")
    assert r"large\|x" in result.stdout
    assert "- **would die**" in result.stdout


@pytest.mark.usefixtures("tasks")
def test_why_a_task_would_die_and_another_live():
    result = run("predict", "--global", "--why", "large|x", "--why", "22", "--why", "large|x")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    text = " ".join(lines)
    assert text.count("Why ") == 2
    assert "Why large|x (pid 20) would die" in lines
    assert (
        "badness rss 300 + page tables 1 = 301 pages; rank 1 of 2; 218 pages (872K) above" in text
    )
    assert "turns at oom_score_adj of large|x (pid 20) -44 or less (now 0):" in text
    assert "turns at rss of large|x (pid 20) 328K (82 pages) or less (now 1200K):" in text
    assert "turns at rss of small (pid 21) 992K (248 pages) or more (now 120K):" in text
    assert "Why safe (pid 22) would live" in lines
    assert "safe is not eligible: adj -1000; by badness large|x is the first: 301 pages" in text
    assert (
        "turns at oom_score_adj of safe (pid 22) -119 or more (now -1000): safe (pid 22), " in text
    )
    assert "turns at no rss of safe (pid 22)" in lines


def test_why_below_a_limit(tasks, monkeypatch):
    monkeypatch.setattr(
        "oomctl.cli.predict.read_candidates",
        lambda _node, _root: Candidates(tasks, 30_000, PAGE, frozenset(), swap=0),
    )
    text = " ".join(run("predict", "--global", "--why", "small").stdout.split())
    assert "turns at memory.max 107996K (26,999 pages) or less (now 120000K): large|x" in text
    plain = json.loads(run("predict", "--global", "--why", "small", "-f", "json").stdout)
    validator("schema.json", "#/$defs/predict").validate(plain)
    (asked,) = plain["asked"]
    assert (asked["reason"]["pid"], asked["reason"]["rank"]) == (21, 1)
    assert [flip["kind"] for flip in asked["flips"]][:3] == ["oom_score_adj", "rss", "memory.max"]


@pytest.mark.usefixtures("tasks")
def test_a_task_that_is_asked_about_is_a_pid_or_one_comm():
    refused(run("predict", "--global", "--why", "none"), 2, "no such task")
    refused(run("predict", "--global", "--why", "9" * 5000), 2, "no such task")


def test_a_comm_that_several_tasks_have(tasks):
    tasks += [Task(100 + n, "twin", "/", 0, PAGE, 0, 0, 0.0) for n in range(12)]
    listed = ", ".join(str(100 + n) for n in range(10))
    refused(run("predict", "--global", "--why", "twin"), 2, "12 tasks", f"{listed} and 2 more")
    tasks += [Task(200, "fifteen-bytes-x", "/", 0, PAGE, 0, 0, 0.0)]
    result = run("predict", "--global", "--why", "fifteen-bytes-xyz")
    assert "Why fifteen-bytes-x (pid 200) would live" in result.stdout


@pytest.mark.usefixtures("tasks")
def test_why_in_markdown():
    result = run("predict", "--global", "--why", "20", "-f", "markdown")
    assert "### Why large\\|x (pid 20) would die" in result.stdout
    assert "- **turns at**: rss of large" in result.stdout


def test_no_task_would_die(tasks):
    del tasks[2:4]
    result = run("predict", "--global")
    assert result.exit_code == 1
    assert "no task; the kernel would panic" in result.stdout


def test_the_machine_as_it_is():
    """Needs nothing but /proc."""
    result = run("predict", "--global", "--format", "json")
    assert result.exit_code == 0
    plain = json.loads(result.stdout)
    assert plain["totalpages"] == procfs.total_pages()
    assert set(plain["victims"]) <= {c["pid"] for c in plain["candidates"]}


def test_predict_does_not_name_itself():
    """It has ended by the time that anything is declared."""
    with subprocess.Popen(["sleep", "60"]) as other:
        result = json.loads(run("predict", "--global", "--format", "json").stdout)
        other.kill()
    pids = {candidate["pid"] for candidate in result["candidates"]}
    assert other.pid in pids
    assert os.getpid() not in pids


def test_a_cgroup_that_is_not_there(cgroupfs, monkeypatch):
    monkeypatch.setattr(hierarchy, "unified_root", lambda: cgroupfs)
    refused(run("predict", "--cgroup", "/none"), 2, "no such cgroup")
