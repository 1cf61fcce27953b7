"""Callers that fail, are killed or stopped, on a real kernel: messages and leftovers."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oomctl.bpf import btf
from oomctl.errors import OomctlError
from oomctl.experiment import callers as experiment_callers
from oomctl.experiment import triggers
from oomctl.experiment.steps import RoundRunner
from tests.kernel.conftest import CGROUPS, tear_down
from tests.kernel.test_steps import dead, on_top, plan

COUNTS = pytest.mark.parametrize("callers", [1, 8])


def no_child_left():
    return [child.name() for child in psutil.Process().children()] == []


@COUNTS
def test_a_caller_cgroup_that_does_not_exist_is_an_error(session, callers):
    step = replace(on_top(callers=callers), caller_cgroup="/gone-for-good")
    with pytest.raises(OomctlError) as caught:
        session.run(plan(step))
    assert re.match(
        r"(the caller|caller \d of 8) \(pid \d+\) failed before it was ready to call: cannot write "
        r"'0' to /sys/fs/cgroup/gone-for-good/cgroup.procs: No such file or directory; ",
        str(caught.value),
    )
    assert no_child_left()


@pytest.fixture
def pipe(tmp_path):
    """A pipe that no process reads: to open it for writing waits."""
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


@COUNTS
def test_a_caller_that_does_not_get_ready_is_killed(session, pipe, callers, monkeypatch):
    monkeypatch.setattr(RoundRunner, "_place_of", lambda *_: {"procs": pipe})
    began = time.monotonic()
    with pytest.raises(OomctlError, match=r"was not ready to call after 10 s: it is sleeping"):
        session.run(plan(on_top(callers=callers), timeout=10.0))
    assert 10 < time.monotonic() - began < 60
    assert no_child_left()


def test_a_reclaim_that_was_cut_off_has_no_result(session, pipe, monkeypatch):
    class Stuck(triggers.Reclaim):
        def __init__(self, *given):
            super().__init__(*given)
            self.words = {**self.words, "write": pipe}

    monkeypatch.setattr(triggers, "Reclaim", Stuck)
    says = r"was killed at the timeout of 5 s \(state: sleeping\) while it wrote .*memory.reclaim"
    with pytest.raises(OomctlError, match=says):
        session.run(plan(on_top("reclaim"), timeout=5.0))
    assert no_child_left()


def test_a_killed_caller_leaves_the_results_of_the_others(session, monkeypatch):
    await_ready = experiment_callers._await_ready

    def first_dies(ready, started, *rest):
        await_ready(ready, started, *rest)
        os.kill(started.pids[0], signal.SIGKILL)

    monkeypatch.setattr(experiment_callers, "_await_ready", first_dies)
    outcome = session.run(plan(on_top(callers=2)))
    assert dead(outcome) == {"large"}
    verdicts = sorted(one.verdict.name for one in outcome.calls)
    assert verdicts == ["killed", "no-answer"]
    (lost,) = [one.verdict for one in outcome.calls if one.verdict.name == "no-answer"]
    assert re.fullmatch(
        r"caller 1 of 2 \(pid \d+\) was killed by SIGKILL before it called the kfunc", lost.reason
    )


@pytest.fixture
def threads():
    """A threaded domain with a threaded cgroup and one that is invalid."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    top = CGROUPS / "threads"
    for path in (top, top / "threaded", top / "invalid"):
        path.mkdir()
    (top / "threaded/cgroup.type").write_text("threaded")
    yield top
    tear_down(top)


def test_threaded_cgroups(oomctl, declare, threads, tmp_path):
    for name, kind in (("threaded", "threaded"), ("invalid", "domain invalid")):
        for words in (
            ["declare"],
            ["declare", "--dry-run"],
            ["declare", "--hog", "4M"],
            ["predict"],
        ):
            result = oomctl(*words, "--cgroup", f"/threads/{name}")
            assert result.exit_code == 3
            assert f"/threads/{name} has the cgroup.type '{kind}'" in result.stderr
            assert result.stderr.rstrip().endswith("/threads, the domain of its threads")
    path = tmp_path / "a.toml"
    path.write_text("[hog.a]\nsize = '4M'\n")
    for name in ("threads", "threads/threaded", "threads/invalid"):
        result = oomctl("run", "--dry-run", "--parent", f"/{name}", str(path))
        assert result.exit_code == 3
        assert f"/{name} has the cgroup.type '" in result.stderr
    code, result = declare("--cgroup", "/threads", "--hog", "4M")
    assert (code, result["verdict"]) == (0, "killed")
    # giving a threaded controller to its children is what makes it a threaded domain as well
    (CGROUPS / "cgroup.subtree_control").write_text("+pids")
    (threads / "cgroup.subtree_control").write_text("+pids")
    code, result = declare("--cgroup", "/threads", "--hog", "4M")
    assert (code, result["verdict"]) == (0, "killed")


def test_the_hint_for_a_cgroup_without_the_controller_is_a_command(oomctl, declare):
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    top = CGROUPS / "bare"
    deep = top / "a b" / "deep"
    deep.mkdir(parents=True)
    try:
        said = {
            oomctl(each, "--cgroup", "/bare/a b/deep").stderr for each in ("declare", "predict")
        }
        (line,) = said
        assert "/bare/a b/deep has no memory controller; run `" in line
        subprocess.run(
            ["sh", "-c", line.split("`")[1]], check=True, capture_output=True, timeout=30
        )
        code, result = declare("--cgroup", "/bare/a b/deep", "--hog", "4M")
        assert (code, result["verdict"]) == (0, "killed")
    finally:
        tear_down(top)


def run_without(names, *words):
    """Run oomctl without capabilities; its status and what it said."""
    dropped = ",".join(f"-{name}" for name in names)
    done = subprocess.run(
        [
            *("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"),
            *(sys.executable, "-m", "oomctl", *words),
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["sys_admin", "perfmon"], "CAP_PERFMON is not held, nor in the bounding set"),
        (["sys_admin", "perfmon", "bpf"], "CAP_BPF is not held, nor in the bounding set"),
    ],
)
def test_a_capability_that_is_lacking_is_named(names, said):
    status, stderr = run_without(names, "declare", "--hog", "4M")
    assert status == 3
    assert said in stderr
    assert said in run_without(names, "watch", "--timeout", "0.1")[1]


def test_cap_sys_admin_is_needed_for_the_kfunc_of_a_module_and_not_for_tracing():
    """libbpf reads the BTF of modules with it: for a kfunc there; the observer needs no module."""
    kfunc = btf.find_kfunc()
    assert kfunc
    module = kfunc.provider != btf.VMLINUX
    said = "CAP_SYS_ADMIN is not held, nor in the bounding set"
    status, stderr = run_without(["sys_admin"], "declare", "--hog", "4M")
    assert (status, said in stderr) == ((3, True) if module else (0, False)), stderr
    _status, stderr = run_without(["sys_admin"], "-v", "watch", "--timeout", "0.1")
    assert "no BPF tracing" not in stderr
    assert "counted: bpf 0," in stderr


def test_oomctl_says_once_that_it_cannot_protect_itself():
    _status, stderr = run_without(["sys_resource"], "watch", "--timeout", "0.1")
    first, *more = stderr.splitlines()
    assert first == (
        "oomctl: oomctl is not protected from the OOM killer: CAP_SYS_RESOURCE is not held"
    )
    assert "not protected" not in "".join(more)


def test_a_system_wide_oom_does_not_kill_watch():
    watching = subprocess.Popen(
        [sys.executable, "-m", "oomctl", "watch", "--timeout", "120"],
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    adj = Path(f"/proc/{watching.pid}/oom_score_adj")
    try:
        deadline = time.monotonic() + 60
        while adj.read_text() != "-1000\n":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        watching.kill()
        watching.communicate(timeout=30)
