"""`oomctl doctor` on a machine that lacks nothing, and with one thing after another taken away."""

import json
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl import resources
from tests.kernel.conftest import CGROUPS

DOCTOR = [sys.executable, "-m", "oomctl", "doctor", "--format", "json"]
SETPRIV = "setpriv"


@pytest.fixture
def doctor(oomctl):
    """Run it; return its exit code and the checks that are not ok, by name."""

    def run():
        result = oomctl("doctor", "--format", "json")
        return result.exit_code, complaints(result.stdout)

    return run


def complaints(text):
    checks = json.loads(text)["checks"]
    return {each["name"]: each for each in checks if each["state"] != "ok"}


def under(*command):
    """Run it below another command; return the same."""
    done = subprocess.run([*command, *DOCTOR], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return done.returncode, complaints(done.stdout)


def states(found):
    return {name: each["state"] for name, each in found.items()}


def test_the_lab_is_fit(doctor):
    assert doctor() == (0, {})


def test_nothing_is_changed_and_nothing_stays_loaded(doctor, changes):
    def kept():
        control = (CGROUPS / "cgroup.subtree_control").read_text()
        modules = map(str.split, Path("/proc/modules").read_text().splitlines())
        users = {name: int(used) for name, _size, used, *_ in modules}
        return control, {path.name for path in Path("/proc/self/fd").iterdir()}, users

    *before, users = kept()
    assert doctor() == (0, {})
    *after, still = kept()
    assert after == before
    # the kernel frees a program of an earlier test late, and its hold on the module with it
    assert still.keys() == users.keys()
    assert [name for name in users if still[name] > users[name]] == []
    others = [each for each in changes if "/results" not in f"{each[1:]}"]  # it is kept there
    # the self-test of tracing, and the programs that are tried
    assert [event for event, *_ in others] == ["os.fork", *["subprocess.Popen"] * 2]
    assert [Path(each[1]).stem for each in others[1:]] == ["hog", "caller"]


@pytest.mark.parametrize(
    ("name", "value", "check", "code", "state"),
    [
        ("vm.panic_on_oom", 2, "panic_on_oom", 3, "missing"),
        ("vm.panic_on_oom", 1, "panic_on_oom", 0, "warning"),
        ("vm.overcommit_memory", 2, "overcommit_memory", 0, "warning"),
    ],
)
def test_a_sysctl(doctor, sysctl, name, value, check, code, state):
    if name == "vm.overcommit_memory":
        sysctl("vm.overcommit_ratio", 100)
    sysctl(name, value)
    exit_code, found = doctor()
    assert (exit_code, states(found)) == (code, {check: state})
    assert f"sysctl {name}=0" in found[check]["fix"]


@pytest.mark.usefixtures("switchable_ftrace")
def test_ftrace_switched_off(doctor, sysctl):
    sysctl("kernel.ftrace_enabled", 0)
    exit_code, found = doctor()
    assert (exit_code, states(found)) == (0, {"BPF tracing": "warning"})
    assert "kernel.ftrace_enabled is 0" in found["BPF tracing"]["found"]
    assert "only the kernel log will tell" in found["BPF tracing"]["found"]
    fix = found["BPF tracing"]["fix"].removeprefix("run `").removesuffix("`")
    subprocess.run(fix.split(), capture_output=True, check=True)
    assert doctor() == (0, {})


def test_a_loud_console(doctor):
    printk = Path("/proc/sys/kernel/printk")
    before = printk.read_text()
    try:
        printk.write_text("7")
        exit_code, found = doctor()
        assert (exit_code, states(found)) == (0, {"console loglevel": "warning"})
        fix = found["console loglevel"]["fix"].split()
        subprocess.run(fix, capture_output=True, check=True)
        assert doctor() == (0, {})
    finally:
        printk.write_text(before)


def test_memory_localevents_and_its_fix(doctor):
    remount = ["mount", "-o", "remount,rw,nsdelegate,memory_localevents", "none", str(CGROUPS)]
    subprocess.run(remount, check=True)
    try:
        exit_code, found = doctor()
        assert (exit_code, states(found)) == (0, {"memory_localevents": "warning"})
        subprocess.run(found["memory_localevents"]["fix"].split(), check=True)
        assert doctor() == (0, {})
    finally:
        subprocess.run(["mount", "-o", "remount,rw", "none", str(CGROUPS)], check=True)


def test_an_oom_daemon(doctor, tmp_path):
    shutil.copy("/bin/sleep", tmp_path / "earlyoom")
    child = subprocess.Popen([tmp_path / "earlyoom", "600"])
    try:
        time.sleep(0.5)
        exit_code, found = doctor()
        assert (exit_code, states(found)) == (0, {"OOM daemons": "warning"})
        assert f"earlyoom (pid {child.pid})" in found["OOM daemons"]["found"]
    finally:
        child.kill()
        child.wait()


def test_a_cgroup_with_few_processes(doctor):
    subtree = CGROUPS / "cgroup.subtree_control"
    before = subtree.read_text().split()
    subtree.write_text("+memory +pids")
    own = CGROUPS / "few"
    own.mkdir()
    try:
        (own / "pids.max").write_text("10")
        (own / "cgroup.procs").write_text("0")
        exit_code, found = doctor()
        assert (exit_code, states(found)) == (0, {"pids.max": "warning"})
        assert "room for 9 more" in found["pids.max"]["found"]
    finally:
        (CGROUPS / "cgroup.procs").write_text("0")
        own.rmdir()
        if "pids" not in before:
            subtree.write_text("-pids")


@pytest.mark.skipif(shutil.which(SETPRIV) is None, reason="takes setpriv of util-linux")
def test_root_without_a_capability():
    code, found = under(SETPRIV, "--inh-caps=-sys_resource", "--bounding-set=-sys_resource")
    assert (code, states(found)) == (0, {"CAP_SYS_RESOURCE": "warning"})
    less = "-sys_admin,-bpf,-perfmon"
    code, found = under(SETPRIV, f"--inh-caps={less}", f"--bounding-set={less}")
    assert code == 3
    missing = {name for name, state in states(found).items() if state == "missing"}
    assert {"CAP_BPF", "CAP_PERFMON"} <= missing
    assert missing & {"kfunc", "BPF program"}


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        pytest.param(
            *(("--pid", "--fork", "--mount-proc"), 3, {"PID namespace": "missing"}),
            marks=pytest.mark.skipif(
                not Path("/proc/self/ns/pid").exists(), reason="the kernel has no PID namespaces"
            ),
        ),
        (("--cgroup",), 0, {"cgroup namespace": "warning"}),
        (("--user", "--map-root-user"), 3, {"user namespace": "missing"}),
    ],
)
def test_a_namespace(options, code, expected):
    exit_code, found = under("unshare", *options)
    assert exit_code == code
    assert states(found) | expected | {"container": "warning"} == states(found)


def test_a_read_only_cgroupfs():
    command = f'mount -o bind,remount,ro {CGROUPS} && exec "$@"'
    code, found = under("unshare", "--mount", "sh", "-c", command, "sh")
    assert (code, states(found)) == (3, {"cgroupfs": "missing"})


def test_not_root(sysctl):
    sysctl("kernel.dmesg_restrict", 1)
    # once as root, so that everything is imported: others may not read where Python is installed
    code = """
import os
from typer.testing import CliRunner
from oomctl.cli.app import app
assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
os.setgroups([])
os.setresgid(7, 7, 7)
os.setresuid(7, 7, 7)
app(["doctor", "--format", "json"])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    found = states(complaints(done.stdout))
    wanted = {"root", "CAP_BPF", "CAP_PERFMON", "cgroupfs", "BPF program", "kernel log"}
    if not all(
        place.stat().st_mode & stat.S_IXOTH for place in resources.built("observer.bpf.o").parents
    ):
        wanted |= {"hog", "caller"}  # installed below a private home, such as root's
    assert {name for name, state in found.items() if state == "missing"} == wanted
    assert found["BPF tracing"] == "warning"
