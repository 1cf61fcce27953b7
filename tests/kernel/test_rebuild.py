"""Scenarios made of what is there: the same task dies again."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import tomllib

import psutil
import pytest

from oomctl.cgroup.hierarchy import unified_root
from oomctl.experiment.subtree import read_subtree
from oomctl.hog.protocol import Step
from tests.unit.hog.binary import listen
from tests.unit.hog.binary import start as start_hog

K, M = 1 << 10, 1 << 20


@pytest.fixture
def started(cgroup):
    """Make 20 cgroups by hand, and start 100 tasks and more in them."""
    dice = random.Random(14)
    inner = [cgroup, cgroup / "left", cgroup / "right.slice", cgroup / "right.slice" / r"a\x2db"]
    for each in inner[1:]:
        each.mkdir()
    leaves = [dice.choice(inner) / f"leaf {number}" for number in range(16)]
    for each in leaves:
        each.mkdir()
    for each in inner:
        (each / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text(str(700 * M))
    (cgroup / "left" / "memory.oom.group").write_text("1")
    (leaves[3] / "memory.low").write_text(str(8 * M))
    (leaves[4] / "memory.max").write_text(str(300 * M))

    pids = []

    def start(leaf, *words):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child.returncode = 0  # it is waited for below
        pids.append(child.pid)
        (leaf / "cgroup.procs").write_text(str(child.pid))

    for number in range(74):
        kind = dice.choice(["anon", "anon", "shmem", "threads"])
        adj = dice.choice([0, 0, 0, -1000, -200, 100, 300])
        size = dice.choice([0, 64 * K, M, 4 * M, 9 * M + number * 64 * K])
        words = [f"kind={kind}", f"adj={adj}", f"size={size}", f"parent={os.getpid()}"]
        if kind == "threads":
            words.append(f"tasks={dice.randint(2, 6)}")
        pid, reports = start_hog(dice.choice(leaves) / "cgroup.procs", f"hog{number % 9}", *words)
        pids.append(pid)
        assert listen(reports)[-1].step is Step.READY
    for _ in range(20):
        start(dice.choice(leaves), "sleep", "600")
    for _ in range(3):
        code = "import time; m = bytearray(20 << 20); time.sleep(600)"
        start(dice.choice(leaves), sys.executable, "-I", "-S", "-c", code)
    if stress := shutil.which("stress-ng"):
        words = ["--vm", "2", "--vm-bytes", "24M", "--vm-hang", "0", "--timeout", "600"]
        start(leaves[5], stress, *words)
    tasks = 97 + bool(stress) * 3
    deadline = time.monotonic() + 120
    while len(unified_root().at(cgroup.name).members()) < tasks:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(5)  # Python and stress-ng fill their memory
    yield cgroup
    (cgroup / "cgroup.kill").write_text("1")
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.mark.timeout(900)
def test_a_tree_that_was_started_by_hand_is_made_again_and_the_same_task_dies(
    started, oomctl, tmp_path
):
    predicted = json.loads(oomctl("predict", "--cgroup", str(started), "-f", "json").stdout)
    pids = {each["pid"]: each["comm"] for each in predicted["candidates"]}
    victims = {pids[pid] for pid in predicted["victims"]}
    assert len(pids) >= 95
    for scale in ("1", "1/4"):
        file = tmp_path / f"made{scale[-1]}.toml"
        made = oomctl("scenario", "from", str(started), "--scale", scale, "-o", str(file))
        assert made.exit_code == 0, made.stderr
        raw = tomllib.loads(file.read_text())
        hogs = {name: entry.get("comm", name) for name, entry in raw["hog"].items()}
        assert len(raw["cgroup"]) >= 20
        assert len(hogs) == len(pids)
        assert len(raw["expect"]["victims"]) == len(predicted["victims"])
        assert {hogs[name] for name in raw["expect"]["victims"]} <= victims | {*raw["hog"]}
        assert oomctl("scenario", "check", str(file)).exit_code == 0
    (started / "cgroup.kill").write_text("1")
    psutil.wait_procs(psutil.Process().children(), 30)
    result = oomctl("run", str(file), "-f", "json")
    assert result.exit_code == 0, result.stderr[-2000:] + result.stdout[-500:]


def test_command_lines_and_paths_are_there_only_if_asked_for(stranger, cgroup, oomctl):
    plain = oomctl("scenario", "from", str(cgroup)).stdout
    assert "mmap" not in plain
    assert cgroup.name in plain
    asked = oomctl("scenario", "from", str(cgroup), "--with-paths").stdout
    assert "import mmap" in asked
    assert f"The cgroup /{cgroup.name}:" in asked


def test_what_vanishes_and_kernel_threads_are_said(stranger, cgroup):
    stranger.kill()
    os.waitid(os.P_PID, stranger.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    of = read_subtree(unified_root().at(cgroup.name))
    assert of.tasks == ()
    assert of.gaps in ((), ("left out: 1 process (dead already)",))
