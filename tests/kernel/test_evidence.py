"""What a declaration's evidence is worth: sources, timeline, collateral, verdicts."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.kernel.conftest import CGROUPS
from tests.results import rises_of

ROOT = Path(__file__).parents[2]


def names(call):
    return [stamp["name"] for stamp in call["timeline"]]


def test_tracing_and_log_name_the_same_victim_and_so_did_the_prediction(declare):
    _code, result = declare()
    (call,) = result["calls"]
    victim = [task["pid"] for task in result["tasks"] if task["name"] == "large"]
    assert call["evidence"]["source"] == "ring buffer"
    assert call["evidence"]["seen"] == call["evidence"]["logged"] == victim
    assert call["evidence"]["agree"] is True
    assert call["evidence"]["lost"] == 0
    assert call["prediction"]["victims"] == victim
    assert call["prediction"]["agrees"] is True


def test_the_timeline_is_in_order_and_its_parts_are_the_whole(declare):
    _code, result = declare()
    (call,) = result["calls"]
    times = [stamp["at_ns"] for stamp in call["timeline"]]
    assert times == sorted(times)
    assert names(call)[:2] == ["call", "locked"]
    for name in ("killed", "marked", "unlocking", "return", "exited", "relieved"):
        assert names(call).count(name) == 1, names(call)
    order = [names(call).index(name) for name in ("locked", "killed", "marked", "unlocking")]
    assert order == sorted(order)
    assert names(call).index("unlocking") < names(call).index("return")
    assert call["timeline"][0]["at_ns"] == call["began_ns"]
    returned = call["timeline"][names(call).index("return")]
    assert returned["after_call_ns"] == call["duration_ns"]


def test_an_empty_target_is_seen_unpopulated(declare):
    _code, result = declare("--hog", "8M")
    assert "unpopulated" in names(result["calls"][0])


HOLD = """
import ctypes, os, signal, sys, time
SEIZE, DETACH, TRACE_EXIT, EVENT_EXIT, WALL = 0x4206, 17, 0x40, 6, 0x40000000
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
pid = int(sys.argv[1])
assert ptrace(SEIZE, pid, 0, TRACE_EXIT) == 0, ctypes.get_errno()
print(flush=True)
_pid, status = os.waitpid(pid, WALL)
assert status >> 8 == signal.SIGTRAP | EVENT_EXIT << 8, hex(status)
time.sleep(float(sys.argv[2]))
assert ptrace(DETACH, pid, 0, 0) == 0, ctypes.get_errno()
"""


@pytest.fixture
def held(stranger):
    """The stranger, which is dying for 1.8 s once it is killed: a tracer stops it in do_exit().

    The OOM reaper gives up on it 2 s after the mark, and the next scan would pass it over.
    """
    tracer = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLD, str(stranger.pid), "1.8"], stdout=subprocess.PIPE
    )
    assert tracer.stdout
    tracer.stdout.readline()
    yield stranger
    assert tracer.wait(30) == 0
    tracer.stdout.close()


def test_calls_back_to_back_meet_the_victim_in_flight(declare, cgroup, held):
    code, result = declare("--cgroup", str(cgroup), "--repeat", "3", "--back-to-back")
    assert code == 1
    assert [call["ret"] for call in result["calls"]] == [1, 1, 1]
    assert [call["verdict"] for call in result["calls"]] == [
        "killed",
        "claimed-but-none-died",
        "claimed-but-none-died",
    ]
    for call in result["calls"][1:]:
        assert call["reason"].startswith(f"in-flight victim: pid {held.pid}")
        assert call["killed_pids"] == []
    assert [task["fate"] for task in result["tasks"]] == ["oom-killed"]
    assert rises_of(result, result["calls"][0]["target"])["oom_kill"] == 1


def test_the_json_is_as_its_schema_says(declare):
    schema = json.loads((ROOT / "oomctl" / "report" / "schema.json").read_text())
    _code, result = declare("--oom-group", "--hog", "a=8M", "--hog", "b=4M", "--repeat", "2")
    jsonschema.validate(result, schema)


@pytest.fixture(scope="module")
def sharer(tmp_path_factory) -> Path:
    """A program whose two processes have one memory."""
    path = tmp_path_factory.mktemp("sharer") / "sharer"
    source = Path(__file__).parent / "sharer.c"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", path, source], check=True)
    return path


def test_a_task_that_shares_the_victims_memory_dies_with_it_wherever_it_lives(
    declare, cgroup, sharer
):
    elsewhere = CGROUPS / "elsewhere"
    elsewhere.mkdir()
    child = subprocess.Popen(
        [sharer, "24"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0"),
    )
    try:
        child.stdin.write(b"\n")
        child.stdin.flush()
        shares = int(child.stdout.readline())
        (elsewhere / "cgroup.procs").write_text(str(shares))
        code, result = declare("--cgroup", str(cgroup))
        assert code == 0
        tasks = {task["pid"]: task for task in result["tasks"]}
        assert tasks.keys() == {child.pid, shares}
        assert {task["fate"] for task in tasks.values()} == {"oom-killed"}
        assert tasks[shares]["cgroup"] == "/elsewhere"
        (call,) = result["calls"]
        assert call["collateral"] == [shares]
        assert call["evidence"]["logged"] == [child.pid]
        assert rises_of(result, call["target"])["oom_kill"] == 1
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        (elsewhere / "cgroup.kill").write_text("1")
        while (elsewhere / "cgroup.procs").read_text():
            pass
        elsewhere.rmdir()


@pytest.mark.usefixtures("no_tracing")
def test_without_tracing_the_kernel_log_speaks_and_says_so(declare):
    code, result = declare()
    assert code == 0
    assert {task["name"]: task["fate"] for task in result["tasks"]}["large"] == "oom-killed"
    evidence = result["calls"][0]["evidence"]
    assert (evidence["source"], evidence["agree"]) == ("kernel log", None)
    assert "no tracing" in evidence["no_tracing_reason"]
