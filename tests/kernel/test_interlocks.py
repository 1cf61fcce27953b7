"""What is not meant dies never: bystanders, the session that oomctl runs in, oomctl itself.

OOMCTL_GLOBALS says how many system-wide declarations there are; `make crash` makes 50.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kernel.conftest import CGROUPS

GLOBALS = int(os.environ.get("OOMCTL_GLOBALS", "10"))

SIZES = """
[hog.huge]
size = "512M"
[hog.small]
size = "4M"
[[call]]
global = true
expect = { returns = 1, victims = ["huge"] }
"""
POINTS = """
[hog.bait]
size = "16M"
count = 5
oom_score_adj = 1000
[hog.small]
size = "4M"
[[call]]
global = true
repeat = 5
expect = { returns = 1, victims = ["bait"] }
"""
SESSION = """
import subprocess, sys
held = b"x" * (int(sys.argv[1]) << 20)
shell = 'python=$1; shift; "$python" -m oomctl "$@"; exit $?'
sys.exit(subprocess.call(["sh", "-c", shell, "sh", sys.executable, *sys.argv[2:]]))
"""


@pytest.fixture
def service():
    """A service as a service manager runs it: in a cgroup that dies as a whole, with a worker."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    home = CGROUPS / "some.service"
    home.mkdir()
    (home / "memory.oom.group").write_text("1")
    code = "import os, time; m = b'x' * (24 << 20); os.fork(); print(flush=True); time.sleep(3600)"
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: (home / "cgroup.procs").write_text("0"),
    )
    for _ in range(2):
        child.stdout.readline()
    yield home
    (home / "cgroup.kill").write_text("1")
    child.wait(10)
    child.stdout.close()
    while (home / "cgroup.procs").read_text():
        os.sched_yield()
    home.rmdir()


def in_session(words, megabytes=8):
    """Run oomctl in a shell in a session, as one that came by ssh; its status and what it said."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SESSION, str(megabytes), *map(str, words)],
        capture_output=True,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        timeout=280,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def residents(home):
    """The processes in a cgroup; a PID alone could be another's by now."""
    pids = map(int, (home / "cgroup.procs").read_text().split())
    return {(pid, psutil.Process(pid).create_time()) for pid in pids}


def oom_kills():
    """How many tasks the OOM killer has taken since the machine was booted."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@pytest.mark.parametrize(
    ("text", "rounds", "calls"), [(SIZES, GLOBALS // 2, 1), (POINTS, GLOBALS // 10, 5)]
)
def test_global_declarations_end_neither_service_nor_session(
    service, tmp_path, text, rounds, calls
):
    path = tmp_path / "global.toml"
    path.write_text(text)
    words = ("run", path, "--yes", "--no-record", "--format", "json", "--repeat", rounds)
    before, killed = residents(service), oom_kills()
    assert len(before) == 2
    session, said, complaint = in_session(words)
    assert session == 0, complaint
    report = json.loads(said)
    made = [one for each in report["runs"][0]["rounds"] for one in each["outcome"]["calls"]]
    assert [one["verdict"] for one in made] == ["killed"] * rounds * calls
    assert oom_kills() - killed == rounds * calls
    assert residents(service) == before


def test_a_system_on_which_the_session_is_the_largest_is_refused(service):
    before, killed = residents(service), oom_kills()
    status, said, complaint = in_session(["declare", "--global", "--yes", "--hog", "1M"], 300)
    assert (status, said) == (3, "")
    assert re.search(r"the kernel could pick \S+ \(pid \d+, which oomctl runs in\)", complaint)
    assert (residents(service), oom_kills()) == (before, killed)


def test_a_cgroup_of_the_session_is_refused(oomctl, cgroup):
    home = psutil.Process().parent()
    (cgroup / "cgroup.procs").write_text(str(home.pid))
    killed = oom_kills()
    try:
        result = oomctl("declare", "--cgroup", str(cgroup))
        assert result.exit_code == 2
        assert f"(pid {home.pid}, which oomctl runs in) runs in /test target" in result.stderr
    finally:
        (CGROUPS / "cgroup.procs").write_text(str(home.pid))
    assert oom_kills() == killed
