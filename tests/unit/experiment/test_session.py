"""The victims of a round, each known by what is seen of it."""

import subprocess
import time
from dataclasses import replace

import pytest

from oomctl.experiment import sources, steps, waits
from oomctl.hog.hogset import HogSet
from oomctl.oom.plan import Call
from oomctl.oom.prediction import Candidates
from tests.unit.experiment.fake_kernel import EVENTS, Kernel, M, Tracing, fates, planned, run
from tests.unit.oom.observations import kill_events

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_victim_is_known_by_its_wait_status_and_the_log(kernel):
    kernel.react = lambda _call: kernel.kills("large")
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "killed"
    assert fates(outcome) == {"small": "survived", "large": "oom-killed", "medium": "survived"}
    victim = next(row for row in outcome.tasks if row.name == "large")
    assert victim.call == 0
    assert 0 < victim.died_after_ns < 20 * 10**9
    assert (victim.size, victim.charged) == (4 * M, 4 * M + 4096)
    assert victim.task.comm == "large"
    assert outcome.events["/t"]["oom_kill"] == 1
    (report,) = outcome.calls
    assert kernel.calls == [(Call("/t", 0, 1), report.cgroup_id)]
    assert report.cgroup_id > 0


def test_a_return_value_of_1_alone_is_not_a_kill(kernel):
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "claimed-but-none-died"
    assert set(fates(outcome).values()) == {"survived"}


def test_a_sigkill_that_the_log_does_not_have_is_not_an_oom_kill(kernel):
    kernel.react = lambda _call: kernel.kills("large", said=False)
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "claimed-but-none-died"
    assert fates(outcome)["large"] == "killed SIGKILL by another process"


def test_a_logged_kill_without_an_exit_is_dying(kernel, capsys):
    def react(_call):
        kernel.says(kernel.pids["large"], "large", "/t/large")
        return 1

    kernel.react = react
    wanted = planned(kernel)
    outcome = run(kernel, replace(wanted, timeout=0.5))
    assert outcome.verdict.name == "killed"
    assert outcome.verdict.reason.endswith("was still dying at the timeout")
    assert fates(outcome)["large"] == "dying"
    assert "has not ended within 0.5 s" in capsys.readouterr().err


@pytest.mark.parametrize(("late", "agree"), [(0.2, True), (9, False)])
def test_a_line_of_the_log_that_comes_late_is_waited_for_some_time(
    kernel, monkeypatch, late, agree
):
    events, due = [], []
    monkeypatch.setattr(waits, "_LOG_TIMEOUT", 0.5)
    monkeypatch.setattr(sources, "Observer", lambda _root_id: Tracing(events))

    def react(_call):
        pid = kernel.pids["large"]
        events.extend(kill_events(pid, time.monotonic_ns(), trigger=0))
        due.append(time.monotonic() + late)
        return kernel.kills("large", said=False)

    def read():
        if due and time.monotonic() >= due[0]:
            due.clear()
            kernel.says(kernel.pids["large"], "large", "/t/large")
        return Kernel.read(kernel)

    kernel.react, kernel.read = react, read
    (call,) = run(kernel, planned(kernel)).calls
    assert call.evidence.seen == {kernel.pids["large"]}
    assert call.evidence.agree is agree


def test_a_kill_in_another_cgroup_does_not_count(kernel):
    def react(_call):
        kernel.says(2**22 + 5, "stranger", "/elsewhere")
        return 1

    kernel.react = react
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "claimed-but-none-died"
    assert len(outcome.tasks) == 3


def test_a_victim_that_started_after_the_snapshot_counts(kernel):
    def react(_call):
        kernel.says(2**22 + 5, "newborn", "/t/small")
        return 1

    kernel.react = react
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "killed"
    assert (outcome.tasks[-1].task.comm, outcome.tasks[-1].task.cgroup) == ("newborn", "/t/small")


def test_each_of_several_calls_has_its_own_victim(kernel):
    order = ["large", "medium"]
    kernel.react = lambda _call: kernel.kills(order.pop(0)) if order else 0
    outcome = run(kernel, planned(kernel, repeat=3))
    names = [report.verdict.name for report in outcome.calls]
    assert names == ["killed", "killed", "oom-killer-disabled"]
    assert outcome.verdict.name == "oom-killer-disabled"
    assert {row.name: row.call for row in outcome.tasks} == {
        "small": None,
        "large": 0,
        "medium": 1,
    }


def test_a_group_kill(kernel, monkeypatch):
    # no group is known here
    monkeypatch.setattr(steps, "read_candidates", lambda *_: Candidates((), 1, 4096, frozenset()))

    def react(_call):
        for name in kernel.pids:
            kernel.kills(name)
        (kernel.root.directory / "t" / "memory.events").write_text(EVENTS.format(4, 1))
        return 1

    kernel.react = react
    outcome = run(kernel, planned(kernel))
    assert outcome.verdict.name == "group-killed"
    assert set(fates(outcome).values()) == {"oom-killed"}
    assert outcome.events["/t"]["oom_kill"] == 4  # one more than died


@pytest.fixture
def ended():
    """The PID of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_task_that_died_while_the_hogs_filled_belongs_to_no_call(kernel, ended, monkeypatch):
    filled = HogSet.__enter__

    def limited(hog_set):
        """A limit kills a child of a hog that oomctl has never seen."""
        filled(hog_set)
        kernel.says(ended, "child", "/t/large")
        return hog_set

    monkeypatch.setattr(HogSet, "__enter__", limited)
    outcome = run(kernel, planned(kernel))
    (child,) = [one for one in outcome.tasks if one.task.pid == ended]
    assert (str(child.fate), child.phase, child.call) == ("oom-killed", "filling", None)
    assert child.died_after_ns is None
    assert outcome.verdict.name == "claimed-but-none-died"
    assert str(ended) not in outcome.verdict.reason
