"""What the observer sees of kills that we know all about, and that it notices what it does not."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl.bpf import bpfobject
from oomctl.bpf.gate import Gate
from oomctl.bpf.observer import PROGRAMS, Observer
from oomctl.bpf.probes import ON_FUNCTIONS, silent_programs
from oomctl.bpf.selftest import TESTED
from oomctl.errors import UnsupportedError
from oomctl.oom.event import EventKind
from oomctl.proc.kmsg import Kmsg

MIB = 1 << 20
FRAME = [EventKind.OOM_BEGIN, EventKind.SIGKILL, EventKind.MARK_VICTIM, EventKind.EXIT]
GREEDY = "import time; b = b'x' * (64 << 20); time.sleep(60)"


@pytest.fixture(scope="module")
def observer():
    """One for all tests here: a slow VM takes its time to load the programs."""
    with Observer() as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_new(observer):
    observer.read()
    yield
    assert observer.lost == 0


def until_exit(observer, tgid, seconds=10):
    """Read on until this process has ended; return everything seen."""
    events, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        events += observer.read()
        if any(each.kind is EventKind.EXIT and each.tgid == tgid for each in events):
            return events
        time.sleep(0.02)
    raise AssertionError(f"{tgid} was not seen to end: {events}")


def test_every_kind_can_be_seen_here(observer):
    assert observer.kinds == frozenset(EventKind)


def test_a_declaration_is_seen_from_the_lock_to_the_end(observer, declare):
    before = time.monotonic_ns()
    code, run = declare("--hog", "small=8M", "--hog", "big=32M", "--order", "3")
    assert code == 0
    (call,) = run["calls"]
    (victim,) = call["killed_pids"]
    events = until_exit(observer, victim)
    assert before < events[0].at_ns
    assert [each.at_ns for each in events] == sorted(each.at_ns for each in events)
    begin, end = (
        next(each for each in events if each.kind is kind)
        for kind in (EventKind.OOM_BEGIN, EventKind.OOM_END)
    )
    assert begin.memcg_id == end.memcg_id == call["cgroup_id"]
    assert begin.order == end.order == 3
    assert (begin.constraint, end.constraint) == (None, "memcg")
    assert begin.comm == "oomctl-caller"
    about = [each for each in events if each.tgid == victim]
    assert [begin.kind] + [each.kind for each in about] == FRAME
    signal, mark, ended = about
    assert call["began_ns"] < begin.at_ns < signal.at_ns < mark.at_ns < end.at_ns
    assert end.at_ns < call["began_ns"] + call["duration_ns"]
    for each in about:
        assert (each.comm, each.oom_score_adj) == ("big", 0)
        assert each.cgroup_id == mark.cgroup_id != call["cgroup_id"]
    for each in (signal, mark):
        assert (each.invoker_pid, each.invoker_comm) == (begin.pid, "oomctl-caller")
        assert abs(each.rss - 32 * MIB) < MIB
    assert (ended.signal, ended.status, ended.rss) == (9, None, 0)


def test_the_hogs_that_oomctl_kills_itself_are_no_victims(observer, declare):
    _code, run = declare("--hog", "a=4M", "--hog", "b=8M")
    (victim,) = run["calls"][0]["killed_pids"]
    events = until_exit(observer, victim)
    killed = {
        each.tgid for each in events if each.kind in (EventKind.SIGKILL, EventKind.MARK_VICTIM)
    }
    assert killed == {victim}


def test_a_limit_that_is_hit_is_seen_too(observer, cgroup: Path):
    (cgroup / "memory.max").write_text(str(24 * MIB))
    if (cgroup / "memory.swap.max").exists():
        (cgroup / "memory.swap.max").write_text("0")
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", GREEDY],
        preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0"),
    )
    assert child.wait(30) == -9
    events = until_exit(observer, child.pid)
    end = next(each for each in events if each.kind is EventKind.OOM_END)
    assert (end.constraint, end.order, end.memcg_id) == ("memcg", 0, cgroup.stat().st_ino)
    mark = next(each for each in events if each.kind is EventKind.MARK_VICTIM)
    assert mark.tgid == mark.invoker_pid == child.pid
    assert mark.cgroup_id == cgroup.stat().st_ino
    assert 16 * MIB < mark.rss < 40 * MIB


def test_a_task_that_runs_into_a_dying_victim_over_and_over_is_told_once(
    observer, oomctl, tmp_path, monkeypatch
):
    """Else the ring buffer would overflow: that is a hundred times a millisecond."""
    monkeypatch.chdir(tmp_path)  # where the run is recorded
    file = tmp_path / "spinning.toml"
    file.write_text("""
        [hog.held]
        kind = "traced"
        size = "8M"
        hold = "1s"
        [[call]]
        via = "limit"
    """)
    result = oomctl("run", str(file), "--format", "json")
    (one,) = json.loads(result.stdout)["runs"][0]["rounds"]
    (call,) = one["outcome"]["calls"]
    (victim,) = call["killed_pids"]
    events = until_exit(observer, victim)
    frame = (EventKind.OOM_BEGIN, EventKind.OOM_END)
    told = [each for each in events if each.kind in frame and each.pid == call["caller_pid"]]
    assert call["duration_ns"] > 0.5e9
    assert 2 <= len(told) <= 40
    assert [each.kind for each in told] == [*frame] * (len(told) // 2)


def test_how_a_process_ends_by_another_hand_is_not_the_oom_killers(observer):
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    child.wait()
    events = until_exit(observer, child.pid)
    about = [each for each in events if each.tgid == child.pid]
    assert [(each.kind, each.signal) for each in about] == [(EventKind.EXIT, 9)]


def test_an_end_with_many_threads_is_told_once(observer):
    code = "import threading, time\nfor _ in range(8):\n"
    code += "    threading.Thread(target=time.sleep, args=(60,)).start()\nprint(flush=True)"
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE)
    assert child.stdout
    with child.stdout:
        child.stdout.readline()
        child.kill()
        child.wait()
    events = until_exit(observer, child.pid)
    time.sleep(0.2)
    events += observer.read()
    assert [each.kind for each in events if each.tgid == child.pid] == [EventKind.EXIT]


FTRACE = "kernel.ftrace_enabled"
REAPER = {"wake_reaper", "start_reaping", "finish_reaping", "skip_reaping"}
ENDS = {"process_exit", "missed_exit"}
TRACEPOINTS = {"sigkill", "mark_victim"}
EACH = [{program.name} for program in PROGRAMS if program.name != "mark_victim_pid"]
MIXES = [
    ENDS,
    {"oom_begin", "oom_end"},
    TRACEPOINTS,
    {"oom_end", "sigkill", "missed_exit"},
    ON_FUNCTIONS,
    ON_FUNCTIONS | TRACEPOINTS | REAPER,
]


@pytest.fixture
def detached(monkeypatch):
    """Take these programs away as soon as they are attached, which the observer is not told."""

    def detach(names):
        attach = bpfobject.BpfObject.attach

        def attach_and_detach(loaded, name):
            attach(loaded, name)
            if name in names:
                loaded._lib.bpf_link__destroy(loaded._links.pop())

        monkeypatch.setattr(bpfobject.BpfObject, "attach", attach_and_detach)

    return detach


def limit_kill(cgroup, folder=None):
    """Have a child of ours killed at a limit of 8 MiB; `folder` is a cgroup below, for the child.

    Return its PID.
    """
    (cgroup / "memory.max").write_text(str(8 * MIB))
    if (cgroup / "memory.swap.max").exists():
        (cgroup / "memory.swap.max").write_text("0")
    pid = os.fork()
    if not pid:
        os.fchdir(folder or os.open(cgroup, os.O_RDONLY))
        Path("cgroup.procs").write_text("0")
        _grown = b"x" * (64 * MIB)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    return pid


@contextlib.contextmanager
def nested(top, name, depth):
    """Make cgroups inside each other, and give the folder of the last; its path may be too long."""
    folders = [os.open(top, os.O_RDONLY)]
    try:
        while len(folders) <= depth:
            os.mkdir(name, dir_fd=folders[-1])
            folders.append(os.open(name, os.O_RDONLY, dir_fd=folders[-1]))
        yield folders[-1]
    finally:
        while len(folders) > 1:
            os.close(folders.pop())
            os.rmdir(name, dir_fd=folders[-1])
        os.close(folders.pop())


@pytest.mark.parametrize(
    ("name", "depth", "told"),
    [("a", 127, True), ("a", 128, False), ("n" * 250, 16, True), ("n" * 250, 17, False)],
)
def test_a_path_is_told_down_to_a_depth_and_a_length(observer, cgroup, name, depth, told):
    """From the root 128 cgroups, and 4096 bytes."""
    with nested(cgroup, name, depth) as folder:
        pid = limit_kill(cgroup, folder)
        mark, *_ = (e for e in until_exit(observer, pid) if e.kind is EventKind.MARK_VICTIM)
    path = "/".join([f"/{cgroup.name}", *[name] * depth])
    assert mark.cgroup == (path if told else None)
    assert (len(path) <= 4096 and depth < 128) == told


def silent_in_a_kill(observer, cgroup):
    before = observer.fired()
    limit_kill(cgroup)
    return set(silent_programs(before, observer.fired(), calls=1, kills=1, exits=1))


@pytest.mark.parametrize("names", [set(), *EACH, *MIXES], ids=lambda names: "+".join(sorted(names)))
def test_programs_that_do_not_run_are_named(cgroup, detached, names):
    """At the opening those that any process can try, all that matter once a task was killed."""
    detached(names)
    with Observer() as opened:
        assert set(opened.silent) == names & TESTED
        assert opened.kinds == frozenset(EventKind) - {
            *({EventKind.EXIT} if names >= ENDS else ()),
            *({EventKind.SIGKILL} if "sigkill" in names else ()),
        }
        lost = names - REAPER if names >= ENDS else names - REAPER - ENDS
        assert silent_in_a_kill(opened, cgroup) == lost
        assert names - TESTED <= set(opened.unproved)


def test_a_group_whose_first_victim_is_killed_twice_is_no_silence(oomctl, tmp_path):
    """Held on its way out it still has its memory when the group is gone through."""
    scenario = tmp_path / "group.toml"
    scenario.write_text(
        '[cgroup."."]\nmemory.oom.group = true\n[hog.small]\nsize = "4M"\n'
        '[hog.held]\nsize = "16M"\nkind = "traced"\nhold = 1\n'
    )
    with Kmsg() as log, Observer() as opened:
        before = opened.fired()
        result = oomctl("run", str(scenario))
        killed = sum("Killed process" in record.text for record in log.read().records)
        assert killed == 3, result.output
        assert silent_programs(before, opened.fired(), calls=1, kills=killed, exits=2) == ()


def test_the_self_test_is_no_event_and_leaves_no_process():
    with Observer() as opened:
        assert opened.read() == []
        assert {name for name, count in opened.fired().items() if count} == TESTED


@pytest.mark.usefixtures("switchable_ftrace")
def test_ftrace_that_is_switched_off_while_we_look(cgroup, sysctl):
    with Observer() as opened:
        assert silent_in_a_kill(opened, cgroup) == set()
        sysctl(FTRACE, 0)
        assert silent_in_a_kill(opened, cgroup) == ON_FUNCTIONS
        sysctl(FTRACE, 1)
        assert silent_in_a_kill(opened, cgroup) == set()


@pytest.mark.usefixtures("switchable_ftrace")
@pytest.mark.parametrize("traced", [Observer, Gate])
def test_ftrace_that_is_off_before_is_why_there_is_no_tracing(sysctl, traced):
    sysctl(FTRACE, 0)
    with pytest.raises(UnsupportedError, match=r"kernel\.ftrace_enabled is 0") as caught, traced():
        pass
    assert caught.value.hint == "run `sysctl kernel.ftrace_enabled=1`"


@pytest.mark.parametrize("name", ["oom_begin", "sigkill"])
def test_a_program_that_was_not_loaded_is_named(monkeypatch, name):
    made = bpfobject.BpfObject.__init__

    def without_one(loaded, path, without=()):
        made(loaded, path, [*without, name])

    monkeypatch.setattr(bpfobject.BpfObject, "__init__", without_one)
    says = f"did not attach oomctl's program '{name}'"
    with pytest.raises(UnsupportedError, match=says), Observer():
        pass
