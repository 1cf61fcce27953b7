"""What oomctl refuses, or asks about, before a call or between two."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from oomctl.errors import UnsupportedError, UsageError
from oomctl.oom.plan import Call, Plan, Step
from oomctl.oom.task import ProtectedTask, Task
from tests.unit.experiment.fake_kernel import M, fates, planned, run

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_oomctl_refuses_a_call_on_its_own_cgroup(kernel, theirs):
    (theirs.directory / "cgroup.procs").write_text(f"{os.getpid()}\n")
    with pytest.raises(UnsupportedError, match=r"oomctl itself is in /theirs: .* could kill it"):
        run(kernel, Plan((), (), (), (Step(Call("/theirs", 0, 1)),), "/theirs"))
    assert kernel.calls == []


def test_no_hog_is_started_in_the_cgroup_of_a_protected_task(kernel, theirs, monkeypatch):
    shell = ProtectedTask(7, "bash (pid 7, which oomctl runs in)", "/t/large")
    monkeypatch.setattr("oomctl.proc.procfs.protected_tasks", lambda: [shell])
    with pytest.raises(UsageError, match=r"bash .* runs in /t/large.*another cgroup"):
        run(kernel, planned(kernel))
    assert kernel.pids == {}


def tasks_of(kernel):
    return [
        Task(1, "init", "/", 0, 999 * M, 0, 0, 0.0),
        Task(50, "big", "/user", 0, 100 * M, 0, 0, 0.0),
        *(Task(pid, name, f"/t/{name}", 0, M, 0, 0, 0.0) for name, pid in kernel.pids.items()),
    ]


def test_a_system_wide_call_asks_first_with_the_ranking(kernel, monkeypatch):
    monkeypatch.setattr("oomctl.proc.procfs.all_tasks", lambda: tasks_of(kernel))
    seen = SimpleNamespace(ranking=None)

    def confirm(ranking):
        assert kernel.calls == []
        seen.ranking = ranking

    kernel.react = lambda _call: kernel.kills("large")
    outcome = run(kernel, planned(kernel, target=None), confirm)
    assert seen.ranking[0][1].comm == "big"
    assert kernel.calls == [(Call(None, 0, 1), None)]
    assert outcome.verdict.name == "wrong-victim"  # by oom_badness(), "big" should have been chosen


def test_a_refused_call_leaves_nothing(kernel, monkeypatch):
    monkeypatch.setattr("oomctl.proc.procfs.all_tasks", lambda: tasks_of(kernel))

    def confirm(_ranking):
        raise UsageError("not declared")

    with pytest.raises(UsageError, match="not declared"):
        run(kernel, planned(kernel, target=None), confirm)
    assert kernel.calls == []


@pytest.fixture
def parent(monkeypatch):
    """The PID of a process that passes for our parent: that may be init, which is no candidate."""
    with subprocess.Popen(["sleep", "60"]) as process:
        monkeypatch.setattr(os, "getppid", lambda: process.pid)
        yield process.pid
        process.kill()


@pytest.mark.parametrize("is_parent", [False, True])
def test_a_protected_task_must_not_be_the_first_victim(kernel, monkeypatch, parent, is_parent):
    first = Task(parent if is_parent else os.getpid(), "shell", "/", 0, 999 * M, 0, 0, 0.0)
    monkeypatch.setattr("oomctl.proc.procfs.all_tasks", lambda: [first])
    with pytest.raises(UnsupportedError, match=r"could pick (oomctl itself|\S+ \(pid \d+, which)"):
        run(kernel, planned(kernel, target=None))
    assert kernel.calls == []


def test_it_stops_before_a_protected_task_is_next_and_reports_the_victims(
    kernel, monkeypatch, parent
):
    shell = Task(parent, "shell", "/", 0, 999 * M, 0, 0, 0.0)
    monkeypatch.setattr(
        "oomctl.proc.procfs.all_tasks",
        lambda: [*tasks_of(kernel), *([shell] if kernel.calls else [])],
    )
    kernel.react = lambda _call: kernel.kills("large")
    outcome = run(kernel, planned(kernel, target=None, repeat=9))
    assert isinstance(outcome.failure, UnsupportedError)
    assert "could pick " in outcome.failure.why
    assert not outcome.as_wanted
    assert len(kernel.calls) == len(outcome.calls) == 1
    assert fates(outcome)["large"] == "oom-killed"


def test_panic_on_oom_is_checked_before_anything_is_made(kernel, monkeypatch):
    monkeypatch.setattr("oomctl.proc.procfs.sysctls", lambda _names: {"vm.panic_on_oom": 2})
    with pytest.raises(UnsupportedError, match="panic_on_oom is 2"):
        run(kernel, planned(kernel))
    assert kernel.pids == {}
