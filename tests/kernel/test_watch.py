"""`oomctl watch` beside real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.experiment.watch import OomWatch

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
    (line,) = out.splitlines()
    seen = json.loads(line)
    assert [seen["killed"]["pid"]] == call["killed_pids"]
    assert seen["killed"]["comm"] == "big"
    assert seen["invoker"]["comm"] == "oomctl-caller"
    assert seen["invoker"]["cgroup"] == Path("/proc/self/cgroup").read_text().strip()[3:]
    assert (seen["order"], seen["constraint"], seen["role"]) == (2, "memcg", "victim")
    assert seen["cgroup"] == f"{call['target']}/big"
    assert (seen["memcg"], seen["memcg_id"]) == (call["target"], call["cgroup_id"])
    assert 0 < seen["exited_after_ns"] < 10e9
    assert seen["source"] == "ring buffer"


def test_only_the_subtree_and_lines_come_at_once(watching, declare, cgroup, stranger):
    child = watching("--cgroup", cgroup.name)
    declare("--hog", "elsewhere=4M")
    declare("--cgroup", cgroup.name, "--hogs", "0")
    assert child.stdout
    line = child.stdout.readline()
    assert f":{stranger.pid} " in line
    assert line.endswith(f"/{cgroup.name}\n")
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert time.monotonic() - began < 10


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
