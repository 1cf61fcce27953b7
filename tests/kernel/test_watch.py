"""`oomctl watch` beside real kills."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.experiment.watch import OomWatch
from tests.kernel.conftest import CGROUPS

READY = "watching the OOM killer"


@pytest.fixture
def watching() -> Iterator:
    """Start `oomctl watch` and wait until it watches."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "oomctl", "watch", "-v", "--timeout", "100", *arguments]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        started.append(child)
        assert child.stderr
        for line in child.stderr:
            if READY in line:
                return child
        raise AssertionError(f"it ended with {child.wait()}")

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_a_call_is_reported_as_one_object(watching, declare):
    child = watching("-f", "jsonl", "--count", "1")
    _code, run = declare("--hog", "small=4M", "--hog", "big=16M", "--order", "2")
    (call,) = run["calls"]
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    seen, _summary = map(json.loads, out.splitlines())
    assert [seen["killed"]["pid"]] == call["killed_pids"]
    assert seen["killed"]["comm"] == "big"
    assert seen["invoker"]["comm"] == "oomctl-caller"
    assert seen["invoker"]["cgroup"] == Path("/proc/self/cgroup").read_text().strip()[3:]
    assert (seen["order"], seen["constraint"], seen["role"]) == (2, "memcg", "victim")
    assert seen["cgroup"] == f"{call['target']}/big"
    assert (seen["memcg"], seen["memcg_id"]) == (call["target"], call["cgroup_id"])
    assert 0 < seen["exited_after_ns"] < 10e9
    assert seen["source"] == "ring buffer"
    assert seen["memcg_memory"]["usage_bytes"] > 16 << 20


def test_only_the_subtree_and_lines_come_at_once(watching, declare, cgroup, stranger):
    child = watching("--cgroup", cgroup.name)
    declare("--hog", "elsewhere=4M")
    declare("--cgroup", cgroup.name, "--hogs", "0")
    assert child.stdout
    assert f":{stranger.pid} killed (victim)" in child.stdout.readline()
    assert child.stdout.readline().startswith(f"  oom_memcg  /{cgroup.name}")
    while not (line := child.stdout.readline()).startswith("  invoker    "):
        assert line.startswith("             ")  # what it held may be on a line of its own
    assert child.stdout.readline() == f"  victim     /{cgroup.name}\n"
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert time.monotonic() - began < 10


SHORT_LIVED = 1000
LIMIT = 16 << 20


@pytest.fixture
def trees():
    """Two trees: /limits/middle/leaf, whose middle has a limit, and /callers/one/two."""
    made = [CGROUPS / path for path in ("limits/middle/leaf", "callers/one/two")]
    for leaf in made:
        leaf.mkdir(parents=True)
        for folder in (leaf.parents[1], leaf.parents[0]):
            (folder / "cgroup.subtree_control").write_text("+memory")
    (made[0].parent / "memory.max").write_text(str(LIMIT))
    with contextlib.suppress(OSError):
        (made[0].parent / "memory.swap.max").write_text("0")
    yield made
    for leaf in made:
        for folder in (leaf, leaf.parents[0], leaf.parents[1]):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def make_and_remove(stop: threading.Event, made: list[int]) -> None:
    """Make cgroups one after the other that live 5 ms each."""
    while not stop.is_set() or len(made) < SHORT_LIVED:
        short = CGROUPS / f"short-{len(made)}"
        short.mkdir()
        made.append(short.stat().st_ino)
        time.sleep(0.005)
        short.rmdir()


def die_in(folder: Path) -> int:
    """Have a child charge more than the limit in a cgroup; return its PID once it is dead."""
    pid = os.fork()
    if not pid:
        (folder / "cgroup.procs").write_text("0")
        _grown = b"x" * (4 * LIMIT)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    return pid


def test_three_cgroups_are_told_apart_while_others_come_and_go(trees):
    """No path is wrong: not those of a removed cgroup, nor beside 1,000 that live 5 ms each."""
    leaf, callers = trees
    stop, made = threading.Event(), []
    churn = threading.Thread(target=make_and_remove, args=(stop, made))
    kills, gone = {}, {}
    with OomWatch(hierarchy.unified_root()) as oom_watch:
        assert not oom_watch.no_tracing_reason
        churn.start()
        try:
            for number in range(20):
                # made after the listing, and removed before the kill is read
                folder = leaf.parent / f"gone-{number}"
                folder.mkdir()
                gone[die_in(folder)] = folder.name
                folder.rmdir()
            kills |= {kill.pid: kill for kill in oom_watch.poll()}
            # the write of memory.max is the invoker; the victim is in the leaf
            held = subprocess.Popen(
                [sys.executable, "-c", "b = b'x' * (8 << 20); print(flush=True); input()"],
                preexec_fn=lambda: (leaf / "cgroup.procs").write_text("0"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            held.stdout.readline()
            writer = subprocess.Popen(
                ["sh", "-c", f"echo 0 > {leaf.parent}/memory.max"],
                preexec_fn=lambda: (callers / "cgroup.procs").write_text("0"),
            )
            assert held.wait(60) == -signal.SIGKILL
            assert writer.wait(60) == 0
            held.stdin.close()
            held.stdout.close()
        finally:
            stop.set()
            churn.join()
        time.sleep(2.5)
        kills |= {kill.pid: kill for kill in oom_watch.poll()}
        assert oom_watch.lost == 0
    assert len(made) >= SHORT_LIVED
    assert gone.keys() | {held.pid} == kills.keys()
    for pid, name in gone.items():
        paths = kills[pid].memcg, kills[pid].invoker_cgroup, kills[pid].cgroup
        assert paths == ("/limits/middle", *[f"/limits/middle/{name}"] * 2)
        usage = kills[pid].usage
        assert (usage.limit, usage.memory <= LIMIT) == (LIMIT, True)
        assert usage.memory > LIMIT - (1 << 20)
    last = kills[held.pid]
    assert (last.memcg, last.cgroup) == ("/limits/middle", "/limits/middle/leaf")
    assert (last.invoker_pid, last.invoker_cgroup) == (writer.pid, "/callers/one/two")
    assert (last.usage.limit, last.usage.memory > 8 << 20) == (0, True)


@pytest.mark.usefixtures("no_tracing")
def test_without_tracing_each_member_of_a_group_is_reported_once(declare):
    with OomWatch(hierarchy.unified_root()) as oom_watch:
        time.sleep(5.1)  # the kernel limits its reports to 10 in 5 s
        _code, run = declare("--oom-group", "--hogs", "3", "--size", "4M")
        seen = oom_watch.poll()
    (call,) = run["calls"]
    assert sorted(one.pid for one in seen) == sorted(task["pid"] for task in run["tasks"])
    for one in seen:
        assert (one.group, one.memcg) == (call["target"], call["target"])
        assert (one.invoker_pid, one.invoker_comm) == (call["caller_pid"], "oomctl-caller")
        assert (one.order, one.constraint) == (0, "memcg")
    assert seen[0].cgroup is not None
    assert seen[0].cgroup.startswith(f"{call['target']}/")
    assert {one.cgroup for one in seen[1:]} == {call["target"]}


GROWS = """
import sys, time
block = []
for _step in range(int(sys.argv[1])):
    block.append(b"x" * (1 << 20))
    time.sleep(0.05)
time.sleep(600)
"""


def test_the_flight_recorder_writes_the_state_before_a_kill(watching, oomctl, tmp_path, cgroup):
    """And that state, made again, has the same victim."""
    (cgroup / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text(str(48 << 20))
    if (cgroup / "memory.swap.max").exists():
        (cgroup / "memory.swap.max").write_text("0")
    folder = tmp_path / "kills"
    child = watching("--cgroup", cgroup.name, "--record", str(folder), "--count", "1")
    tasks = {}
    try:
        for name, size in (("grows", 80), ("rests", 4)):
            leaf = cgroup / name
            leaf.mkdir()
            tasks[name] = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", GROWS, str(size)],
                preexec_fn=lambda leaf=leaf: (leaf / "cgroup.procs").write_text("0"),
            )
        assert tasks["grows"].wait(60) == -signal.SIGKILL
        _out, err = child.communicate(timeout=60)
    finally:
        for name, task in tasks.items():
            task.kill()
            task.wait()
            (cgroup / name).rmdir()
    assert child.returncode == 0, err
    (file,) = folder.iterdir()
    assert file.name.startswith("kill-1-python")
    assert f"recorded {file}" in err
    assert "1 file recorded; " in err
    text = file.read_text()
    assert "memory.max = " in text
    result = oomctl("run", str(file), "--format", "json", "-o", str(tmp_path / "result.json"))
    assert result.exit_code == 0, f"{result.output}\n{text}"
    (one,) = json.loads((tmp_path / "result.json").read_text())["runs"][0]["rounds"]
    (victim,) = [task for task in one["outcome"]["tasks"] if task["fate"] == "oom-killed"]
    assert victim["cgroup"].endswith("/grows")
