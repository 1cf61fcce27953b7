"""The order of a round: real hogs in a fake cgroupfs with a fake kernel."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from oomctl.bpf.btf import Kfunc
from oomctl.cgroup import removal
from oomctl.errors import UnsupportedError, UsageError
from oomctl.experiment import session, sources, steps, waits
from oomctl.experiment.session import Session
from oomctl.hog.hogset import HogSet
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import parse_record
from oomctl.oom.plan import Call, Hog, Plan, Step
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import ProtectedTask, Task
from oomctl.scenario import model, of_options, planning
from oomctl.scenario.planning import Site
from tests.descriptors import descriptors
from tests.journals import journals
from tests.unit.oom.observations import kill_events

M = 1 << 20
HOGS = Hog("small", M), Hog("large", 4 * M), Hog("medium", 2 * M)
EVENTS = "low 0\nhigh 0\nmax 0\noom 0\noom_kill {}\noom_group_kill {}\n"


class Kernel:
    """A fake DeclareProgram and kernel log; `react` is called for each call."""

    def __init__(self, root):
        self.root, self.records, self.calls, self.pids = root, [], [], {}
        self.react = lambda _call: 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def clear(self, slots):
        pass

    def words(self, call, cgroup_id):
        return {"call": call, "cgroup": cgroup_id}

    def together(self, trigger, callers, watch, timeout, tick=None, place=None):
        began = time.monotonic_ns()
        call = trigger.words["call"]
        self.calls.append((call, trigger.words["cgroup"]))
        ret = self.react(call)
        return [CallResult(Stage.CALLED, began, time.monotonic_ns(), ret) for _ in range(callers)]

    def read(self):
        records, self.records = tuple(map(parse_record, self.records)), []
        return KernelLog(records, 0)

    def says(self, pid, comm="x", memcg="/elsewhere"):
        numbers = "total-vm:1kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0"
        numbers += " pgtables:44kB oom_score_adj:0"
        target = self.calls[-1][0].target if self.calls else memcg
        cause = "Out" if target is None else "Memory cgroup out"
        constraint = "NONE" if target is None else "MEMCG"
        where = "global_oom" if target is None else f"oom_memcg={target}"
        for text in (
            f"oom-kill:constraint=CONSTRAINT_{constraint},nodemask=(null),cpuset=/,mems_allowed=0,"
            f"{where},task_memcg={memcg},task={comm},pid={pid},uid=0",
            f"{cause} of memory: Killed process {pid} ({comm}) {numbers}",
        ):
            self.records.append(f"3,1,1,-;{text}\n".encode())

    def kills(self, name, said=True):
        os.kill(self.pids[name], signal.SIGKILL)
        os.waitid(os.P_PID, self.pids[name], os.WEXITED | os.WNOWAIT)
        if said:
            self.says(self.pids[name], name, f"{self.target}/{name}")
            events = self.root.at(self.target).directory / "memory.events"
            events.write_text(EVENTS.format(1, 0))
        return 1


class NoTracing:
    def __init__(self, _root_id):
        pass

    def __enter__(self):
        raise UnsupportedError("a fake kernel runs no BPF programs")

    def __exit__(self, *_):
        raise AssertionError("was never entered")


@pytest.fixture
def kernel(cgroupfs, monkeypatch):
    played = Kernel(cgroupfs)
    enter = HogSet.__enter__

    def enter_and_tell(hog_set):
        """Show the PIDs of the hogs in cgroup.procs, as the kernel does."""
        enter(hog_set)
        for running_hog in hog_set.runners:
            played.pids[running_hog.hog.name] = running_hog.pid
            leaf = cgroupfs.at(running_hog.hog.cgroup).directory
            (leaf / "cgroup.procs").write_text(f"{running_hog.pid}\n")
            (leaf / "memory.current").write_text(f"{running_hog.hog.size + 4096}\n")
        return hog_set

    monkeypatch.setattr(HogSet, "__enter__", enter_and_tell)
    monkeypatch.setattr(session, "DeclareProgram", lambda: played)
    monkeypatch.setattr(steps, "call_together", played.together)
    monkeypatch.setattr(sources, "Kmsg", lambda **_options: played)
    monkeypatch.setattr(sources, "Observer", NoTracing)
    quiet = dict.fromkeys(("vm.panic_on_oom", "vm.oom_kill_allocating_task"), 0)
    monkeypatch.setattr("oomctl.proc.procfs.sysctls", lambda _names: quiet)
    monkeypatch.setattr("oomctl.bpf.libbpf.version", lambda: "1.0")
    return played


def planned(kernel, hogs=HOGS, target="/t", **more):
    made = planning.plan(of_options(hogs, model.Call()), Site(lambda: "t", 1 << 40))
    kernel.target = "/t"
    step = Step(Call(target, more.pop("order", 0), 1), repeat=more.pop("repeat", 1))
    return replace(made, steps=(step,), timeout=20.0, **more)


def run(kernel, wanted, confirm=lambda ranking: None):
    with Session(kernel.root, Kfunc("vmlinux", ()), confirm) as session:
        return session.run(wanted)


@pytest.fixture(autouse=True)
def nothing_is_left(cgroupfs):
    before = descriptors(), adj()
    yield
    assert [node.cgroup for node in cgroupfs.walk()] in (["/"], ["/", "/theirs"])
    assert journals() == []
    assert [child.name() for child in psutil.Process().children()] == []
    assert (descriptors(), adj()) == before


def adj() -> str:
    with open("/proc/self/oom_score_adj") as file:
        return file.read()


def fates(outcome):
    return {row.name: str(row.fate) for row in outcome.tasks}


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


class Tracing:
    """An observer that has seen the events of a list."""

    silent, lost = (), 0

    def __init__(self, events):
        self.events = events

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def fired(self):
        return {}

    def read(self):
        read, self.events[:] = list(self.events), []
        return read


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


def test_an_error_of_the_program_leaves_nothing(kernel):
    def react(_call):
        raise UnsupportedError("no")

    kernel.react = react
    with pytest.raises(UnsupportedError):
        run(kernel, planned(kernel))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_delivered_during_a_wait_and_leaves_nothing(kernel, number):
    """It is pending until the wait for the victim, which would otherwise take 20 s."""

    class EndedError(Exception):
        pass

    def end(*_):
        raise EndedError

    def react(_call):
        kernel.says(kernel.pids["large"], "large", "/t/large")  # never dies
        os.kill(os.getpid(), number)
        return 1

    kernel.react = react
    before = signal.signal(number, end)
    try:
        began = time.monotonic()
        with pytest.raises(EndedError):
            run(kernel, planned(kernel))
        assert time.monotonic() - began < 15
        assert len(kernel.calls) == 1
    finally:
        signal.signal(number, before)


def test_a_hog_that_dies_before_the_call_stops_it(kernel, monkeypatch):
    require_alive = HogSet.require_alive

    def kill_first(hog_set):
        os.kill(kernel.pids["small"], signal.SIGTERM)
        hog_set._watch.wait(lambda: kernel.pids["small"] in hog_set._watch.deaths, 20)
        require_alive(hog_set)

    monkeypatch.setattr(HogSet, "require_alive", kill_first)
    with pytest.raises(UnsupportedError, match="ended before the call"):
        run(kernel, planned(kernel))
    assert kernel.calls == []


def test_kept_cgroups_are_named_and_kept_hogs_live(kernel, capsys):
    run(kernel, planned(kernel, keep=True))
    assert f"kept {kernel.root.directory}/t; to remove it:" in capsys.readouterr().err
    assert (kernel.root.directory / "t" / "large").is_dir()
    for pid in kernel.pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert journals() == []
    kept = kernel.root.at("/t")
    removal.remove(kept.directory, kept.id)


@pytest.fixture
def theirs(kernel):
    return kernel.root.create_cgroup("theirs")


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


def test_an_existing_cgroup_without_tasks_is_left_as_it_was(kernel, theirs):
    kernel.react = lambda _call: (
        kernel.records.append(b"4,1,1,-;Out of memory and no killable processes...\n") or 0
    )
    before = {path.name: path.read_bytes() for path in theirs.directory.iterdir()}
    outcome = run(kernel, Plan((), (), (), (Step(Call("/theirs", 0, 1)),), "/theirs"))
    assert outcome.verdict.name == "no-killable-task"
    assert outcome.tasks == ()
    assert {path.name: path.read_bytes() for path in theirs.directory.iterdir()} == before


# --- the whole system


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


VANISHING = ("*", "memory.*", "memory.events", "memory.current", "cgroup.procs", "cgroup.events")


@pytest.mark.parametrize("when", ["in the call", "once it is over"])
@pytest.mark.parametrize("what", VANISHING)
def test_a_result_is_reported_even_if_files_vanish_after_the_call(
    kernel, theirs, monkeypatch, what, when
):
    """A service manager removes a cgroup as soon as it is empty."""
    victim = subprocess.Popen(["sleep", "60"])
    (theirs.directory / "cgroup.procs").write_text(f"{victim.pid}\n")

    def vanish():
        if what == "*":
            (theirs.directory / "cgroup.procs").write_text("")
            theirs.directory.rmdir()
        for file in theirs.directory.glob(what):
            file.unlink()

    def react(_call):
        if len(kernel.calls) > 1:
            return 0
        victim.kill()
        kernel.says(victim.pid, "sleep", "/theirs")
        if when == "in the call":
            vanish()
        return 1

    settle = waits.Waits.settle

    def settled(self, *arguments):
        done = settle(self, *arguments)
        if when == "once it is over" and theirs.directory.exists():
            vanish()
        return done

    monkeypatch.setattr(waits.Waits, "settle", settled)
    kernel.react = react
    step = Step(Call("/theirs", 0, 1), repeat=2)
    try:
        outcome = run(kernel, Plan((), (), (), (step,), "/theirs", timeout=5.0))
    finally:
        victim.kill()
        victim.wait()
    assert outcome.calls[0].verdict.name == "killed"
    assert [str(row.fate) for row in outcome.tasks] == ["oom-killed"]
    if what == "*":
        assert (outcome.memory_after, outcome.events) == (None, {})
        assert any("was removed" in note for note in outcome.notes)
        assert outcome.failure is not None  # the second call has no target any more
        assert not outcome.as_wanted


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
