"""Calls that meet oom_lock held by another: held on purpose, so no race is won by luck."""

import ctypes
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl.kernel import libbpf

BPF = Path(__file__).parents[2] / "bpf"


class Hold(ctypes.Structure):
    _fields_ = [
        ("for_ns", ctypes.c_uint64),
        ("until_ns", ctypes.c_uint64),
        ("released", ctypes.c_uint64),
    ]


@pytest.fixture(scope="module")
def holder(tmp_path_factory):
    path = tmp_path_factory.mktemp("holder") / "holder.bpf.o"
    source = Path(__file__).parent / "holder.bpf.c"
    command = ["clang", "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", f"-I{BPF}"]
    subprocess.run([*command, "-c", source, "-o", path], check=True)
    with libbpf.BpfObject(path) as loaded:
        loaded.attach("hold")
        yield loaded.map_fd("holds")


@pytest.fixture
def held(holder):
    """Another declaration, which holds the lock until the test is over (18 s at most)."""
    libbpf.write_map(holder, 0, Hold(18 * 10**9, 0, 0))
    other = subprocess.Popen(
        [sys.executable, "-m", "oomctl", "declare", "--hog", "other=4M"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    state = Hold()
    deadline = time.monotonic() + 60
    while not state.until_ns:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        libbpf.read_map(holder, 0, state)
    yield state.until_ns
    libbpf.write_map(holder, 0, Hold(0, 0, 1))
    said = other.communicate(timeout=60)[1]
    assert other.returncode == 0, said


# While the holder spins no RCU grace period ends: nothing can be attached to the function it spins
# in, and no process can change its cgroup. So there is no tracing here, and there are no hogs.
@pytest.mark.usefixtures("no_tracing")
def test_a_held_lock_is_busy_for_some_and_interrupts_others(declare, cgroup, held):
    code, result = declare("--cgroup", str(cgroup), "--no-wait")
    assert time.monotonic_ns() < held
    assert code == 1
    assert (result["calls"][0]["ret"], result["calls"][0]["errno"]) == (-16, "EBUSY")
    assert result["verdict"] == "busy"
    assert not any(result["events"][result["calls"][0]["target"]].values())

    code, result = declare("--cgroup", str(cgroup), "--timeout", "0.5")
    assert time.monotonic_ns() < held
    assert code == 1
    # The caller was killed while it waited; its answer was written by the BPF program.
    assert (result["calls"][0]["ret"], result["calls"][0]["errno"]) == (-4, "EINTR")
    assert result["calls"][0]["timed_out"] is True
    assert result["verdict"] == "interrupted"
