"""Sources that disagree, are silent or report other kills: the result must still be right."""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from oomctl.bpf.observer import Observer
from tests.kernel.conftest import CGROUPS
from tests.results import rises_of


@pytest.fixture
def run(oomctl, tmp_path, monkeypatch):
    """Run a scenario given as text; return exit code and outcomes."""
    monkeypatch.chdir(tmp_path)

    def running(text, *options):
        Path("scenario.toml").write_text(text)
        result = oomctl("run", "scenario.toml", "--format", "json", *options)
        assert result.exit_code in (0, 1), result.stderr
        rounds = json.loads(result.stdout)["runs"][0]["rounds"]
        return result.exit_code, [one["outcome"] for one in rounds]

    return running


@pytest.fixture(params=[True, False], ids=["tracing", "log"])
def tracing(request):
    """Whether there is tracing; without it the kernel log is the only source."""
    if not request.param:
        request.getfixturevalue("no_tracing")
    return request.param


@pytest.fixture
def sleeper(cgroup):
    """A second process in that cgroup."""
    child = subprocess.Popen(
        ["sleep", "600"], preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0")
    )
    yield child
    child.kill()
    child.wait()


def fates(outcome):
    return {task["name"] or task["comm"]: task["fate"] for task in outcome["tasks"]}


GROUPED = """
[cgroup."."]
memory.oom.group = true
[cgroup.b]
memory.oom.group = true
[hog.first]
size = "8M"
kind = "shared"
sharer = "b"
[hog.second]
size = "12M"
kind = "shared"
sharer = "b"
[hog.third]
size = "4M"
"""


def test_a_sharer_inside_the_killed_group_belongs_to_the_group(run, tracing):
    code, outcomes = run(GROUPED, "--repeat", "6")
    assert {one["verdict"] for one in outcomes} == {"group-killed"}, [o["reason"] for o in outcomes]
    for outcome in outcomes:
        (call,) = outcome["calls"]
        assert call["collateral"] == []
        assert call["prediction"]["agrees"] is True
        # a sharer may end with its hog (PR_SET_PDEATHSIG) before the kernel kills it
        ends = Counter(task["fate"] for task in outcome["tasks"])
        assert ends["oom-killed"] + ends["ended with its hog"] == ends.total() == 5
        assert ends["ended with its hog"] == len(call["gone"])
        assert call["evidence"]["agree"] is (True if tracing else None)
    assert code == 0


@pytest.mark.usefixtures("no_tracing")
def test_a_sharer_that_the_log_does_not_name_is_found_without_tracing(run):
    text = """
[cgroup.elsewhere]
[hog.sharing]
size = "16M"
kind = "shared"
sharer = "elsewhere"
[hog.other]
size = "4M"
"""
    code, (outcome,) = run(text)
    (call,) = outcome["calls"]
    assert (code, call["verdict"]) == (0, "killed"), call["reason"]
    assert len(call["killed_pids"]) == 2
    assert len(call["collateral"]) == 1
    fates_of = [task["fate"] for task in outcome["tasks"] if task["name"] == "sharing"]
    assert fates_of == ["oom-killed"] * 2


def test_a_group_outside_the_plans_top_is_found(declare, cgroup, stranger):
    (cgroup / "memory.oom.group").write_text("1")
    Path(f"/proc/{stranger.pid}/oom_score_adj").write_text("1000")
    code, result = declare("--global", "--yes", "--hogs", "1", "--size", "1M")
    (call,) = result["calls"]
    assert (code, call["verdict"]) == (0, "killed"), call["reason"]
    assert call["killed_pids"] == [stranger.pid]


def test_a_group_of_two_by_a_system_wide_call(declare, cgroup, stranger, sleeper):
    (cgroup / "memory.oom.group").write_text("1")
    for pid in (stranger.pid, sleeper.pid):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    code, result = declare("--global", "--yes", "--hogs", "1", "--size", "1M")
    (call,) = result["calls"]
    assert (code, call["verdict"]) == (0, "group-killed"), call["reason"]
    assert set(call["killed_pids"]) == {stranger.pid, sleeper.pid}


def test_a_hog_outside_an_existing_target_with_a_group(run, cgroup, stranger, sleeper):
    (cgroup / "memory.oom.group").write_text("1")
    text = f'[hog.own]\nsize = "4M"\n[[call]]\ntarget = "/{cgroup.name}"\n'
    _code, (outcome,) = run(text)
    (call,) = outcome["calls"]
    assert call["verdict"] == "group-killed", call["reason"]
    assert set(call["killed_pids"]) == {stranger.pid, sleeper.pid}


BESIDE = """
[cgroup."."]
memory.max = "48M"
[cgroup.calm]
[cgroup.limited]
memory.max = "8M"
[hog.steady]
size = "16M"
cgroup = "calm"
[hog.greedy]
size = "24M"
rate = "4M"
cgroup = "limited"
may_fail = true
[expect]
kills = 2
"""


def test_a_kill_by_a_limit_is_reported_with_the_limit_in_any_phase(run, tracing):
    code, (outcome,) = run(BESIDE)
    assert code == 0, outcome["checks"]
    tasks = {task["name"]: task for task in outcome["tasks"]}
    assert {name: task["fate"] for name, task in tasks.items()} == {
        "steady": "oom-killed",
        "greedy": "oom-killed",
    }
    assert (tasks["steady"]["phase"], tasks["greedy"]["phase"]) == ("call", "filling")
    killed = tasks["greedy"]["oom_kill"]
    assert killed["memcg"] == f"{outcome['top']}/limited"
    assert killed["invoker_pid"] == tasks["greedy"]["pid"]
    assert killed["logged"]
    assert killed["traced"] is tracing


FILLING = """
[cgroup."."]
memory.max = "32M"
[hog.first]
size = "4M"
oom_score_adj = 1000
may_fail = true
[hog.second]
size = "40M"
rate = "16M"
may_fail = true
[expect]
victims = ["first", "second"]
"""


def test_a_hog_that_dies_while_another_fills_is_reported(run):
    _code, (outcome,) = run(FILLING)
    tasks = {task["name"]: task for task in outcome["tasks"]}
    assert tasks.keys() == {"first", "second"}
    for task in tasks.values():
        assert (task["fate"], task["phase"]) == ("oom-killed", "filling")
        assert task["oom_kill"]["memcg"] == outcome["top"]
    assert tasks["first"]["filled_bytes"] == 4 << 20
    assert rises_of(outcome, outcome["top"])["oom_kill"] == 2
    assert all(check["passed"] for check in outcome["checks"]), outcome["checks"]


def test_a_kill_by_a_limit_during_the_delay_is_an_oom_kill(run):
    """The limit of a hog in the plan's tree is lowered while the round waits."""
    text = """
[cgroup.calm]
[cgroup.squeezed]
[hog.steady]
size = "16M"
cgroup = "calm"
[hog.other]
size = "8M"
cgroup = "squeezed"
[[call]]
delay = 3
target = "calm"
[expect]
kills = 2
"""

    def squeeze():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for leaf in CGROUPS.glob("oomctl-*/squeezed"):
                with contextlib.suppress(OSError):
                    if int((leaf / "memory.current").read_text()) > 8 << 20:
                        time.sleep(1)
                        (leaf / "memory.max").write_text("1M")
                        return
            time.sleep(0.05)

    thread = threading.Thread(target=squeeze)
    thread.start()
    try:
        code, (outcome,) = run(text)
    finally:
        thread.join()
    assert code == 0, outcome["checks"]
    (other,) = [task for task in outcome["tasks"] if task["name"] == "other"]
    assert (other["fate"], other["phase"]) == ("oom-killed", "beside")
    assert other["oom_kill"]["memcg"].endswith("/squeezed")


def test_a_victim_that_is_dying_at_the_timeout_counts_as_killed(run):
    text = """
timeout = 3
[hog.slow]
size = "16M"
kind = "traced"
hold = 20
"""
    code, (outcome,) = run(text)
    (call,) = outcome["calls"]
    assert (code, call["verdict"]) == (0, "killed"), call["reason"]
    assert "still dying" in call["reason"]
    assert fates(outcome) == {"slow": "dying"}


LEADERLESS = """
[cgroup.g]
memory.oom.group = {group}
[hog.large]
size = "24M"
cgroup = "g"
kind = "threads"
tasks = 2
leader_exits = true
[hog.small]
size = "8M"
cgroup = "g"
kind = "threads"
tasks = 2
leader_exits = true
[hog.other]
size = "16M"
[expect]
victims = {victims}
survivors = {survivors}
events.oom_kill = {kills}
"""


@pytest.mark.parametrize(
    ("group", "victims", "survivors"),
    [
        ("false", ["large"], ["small", "other"]),
        ("true", ["large", "small"], ["other"]),
    ],
)
def test_a_victim_whose_leader_has_ended_is_one_process(run, tracing, group, victims, survivors):
    # the first of a group may be counted twice
    kills = "1" if group == "false" else '"2..3"'
    made = {"group": group, "victims": victims, "survivors": survivors, "kills": kills}
    code, (outcome,) = run(LEADERLESS.format(**made))
    (call,) = outcome["calls"]
    assert code == 0, outcome["checks"]
    assert call["verdict"] == ("group-killed" if group == "true" else "killed"), call["reason"]
    rows = {row["name"]: row for row in outcome["tasks"]}
    pids = [rows[name]["pid"] for name in victims]
    assert sorted(call["killed_pids"]) == sorted(call["evidence"]["logged"]) == sorted(pids)
    assert call["evidence"]["agree"] is (True if tracing else None)
    assert sorted(call["prediction"]["victims"]) == sorted(pids)
    assert call["prediction"]["close"] == []
    for name in victims:
        assert rows[name]["fate"] == "oom-killed"
        assert rows[name]["rss_bytes"] >= rows[name]["size_bytes"]
        assert rows[name]["holds"]["differs"] is None


@pytest.mark.usefixtures("switchable_ftrace")
def test_if_tracing_becomes_silent_the_log_is_used(run):
    code, (outcome,) = run('[sysctl]\nkernel.ftrace_enabled = 0\n[hog.only]\nsize = "8M"\n')
    (call,) = outcome["calls"]
    assert (code, call["verdict"]) == (0, "killed"), call["reason"]
    assert fates(outcome) == {"only": "oom-killed"}
    assert {"oom_begin", "oom_end"} <= set(call["evidence"]["silent"])
    assert call["evidence"]["agree"] is None


PROGRAMS = ["oom_begin", "oom_end", "sigkill", "mark_victim", "process_exit", "missed_exit"]


@pytest.mark.parametrize(
    "silent",
    [
        *([name] for name in PROGRAMS),
        ["oom_begin", "oom_end"],
        ["sigkill", "mark_victim"],
        ["process_exit", "missed_exit"],
        PROGRAMS,
    ],
    ids=" ".join,
)
def test_a_silent_program_changes_no_verdict(declare, monkeypatch, silent):
    """The observer believes that the programs are attached, but the kernel never runs them."""
    attach = Observer.__enter__

    def without(observer):
        from oomctl.bpf import bpfobject

        real = bpfobject.BpfObject.attach
        with monkeypatch.context() as context:
            context.setattr(
                bpfobject.BpfObject,
                "attach",
                lambda loaded, name: None if name in silent else real(loaded, name),
            )
            return attach(observer)

    monkeypatch.setattr(Observer, "__enter__", without)
    code, result = declare("--oom-group", "--hog", "a=8M", "--hog", "b=4M")
    (call,) = result["calls"]
    assert (code, call["verdict"]) == (0, "group-killed"), call["reason"]
    assert set(fates(result).values()) == {"oom-killed"}
    assert call["collateral"] == []
    reported = set(call["evidence"]["silent"])
    ends = {"process_exit", "missed_exit"}
    assert reported - ends == set(silent) - ends
    assert call["evidence"]["agree"] is not False


def test_a_target_that_is_removed_right_after_the_kill_is_reported(oomctl, cgroup, stranger):
    """A service manager removes a cgroup as soon as it is empty."""
    target = CGROUPS / "removed soon"
    target.mkdir()
    (target / "cgroup.procs").write_text(str(stranger.pid))
    stop = threading.Event()

    def remove():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                if "populated 0" in (target / "cgroup.events").read_text():
                    target.rmdir()
                    return

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        done = oomctl("declare", "--format", "json", "--cgroup", str(target))
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert [task["fate"] for task in result["tasks"]] == ["oom-killed"]
    assert result["verdict"] == "killed"
    assert result["memory_current"]["after_bytes"] is None
    assert any("removed" in note for note in result["notes"])


FORKING = """
[cgroup."."]
memory.max = "24M"
[hog.many]
size = "4M"
kind = "forker"
tasks = 2
oom_score_adj = 1000
may_fail = true
[hog.big]
size = "30M"
rate = "6M"  # slow enough for `many` to be there on a busy machine
may_fail = true
[[call]]
order = 11
"""


def test_a_child_that_dies_while_the_hogs_fill_belongs_to_its_hog_and_to_no_call(run, tracing):
    _code, (outcome,) = run(FORKING)
    dead = [task for task in outcome["tasks"] if task["fate"] == "oom-killed"]
    assert dead
    early = [task for task in dead if task["phase"] == "filling"]
    assert "many" in {task["name"] for task in early}
    assert {task["name"] for task in dead} <= {"many", "big"}
    assert {(task["call"], task["died_after_ns"]) for task in early} == {(None, None)}


def test_without_a_call_the_run_waits_for_a_victim(run):
    text = """
call = []
[cgroup."."]
memory.max = "24M"
[hog.slow]
size = "8M"
kind = "traced"
hold = 1.5
oom_score_adj = 1000
may_fail = true
[hog.big]
size = "22M"
rate = "20M"
may_fail = true
"""
    _code, (outcome,) = run(text)
    assert fates(outcome)["slow"] == "oom-killed"


@pytest.mark.usefixtures("switchable_ftrace")
@pytest.mark.parametrize(("via", "is_reported"), [("limit", 1), ("limit", 0), ("reclaim", 1)])
def test_silent_programs_are_reported_for_every_trigger(run, via, is_reported):
    """Also where the kernel has printed its ten reports of five seconds, and prints no more."""
    text = f"""
[sysctl]
kernel.ftrace_enabled = 0
[hog.large]
size = "16M"
[hog.small]
size = "4M"
[[call]]
via = "{via}"
amount = "8M"
"""
    for _attempt in range(5):
        if not is_reported:
            run(FORKING)
        code, (outcome,) = run(text)
        (call,) = outcome["calls"]
        if any("invoked oom-killer" in line["text"] for line in call["log"]) == bool(is_reported):
            break
    else:
        pytest.fail("the kernel has never printed too many reports")
    assert (code, call["verdict"]) == (0, "killed"), call["reason"]
    assert "oom_begin" in call["evidence"]["silent"]
    assert call["evidence"]["agree"] is None


def test_a_call_during_the_group_kill_of_another_caller_kills_no_task(run, tracing):
    text = """
[cgroup.g]
memory.oom.group = true
[hog.slow]
size = "8M"
kind = "traced"
hold = 1.5
cgroup = "g/"
[hog.other]
size = "4M"
cgroup = "g/"
[[call]]
target = "g"
callers = 3
"""
    _code, (outcome,) = run(text)
    verdicts = sorted(call["verdict"] for call in outcome["calls"])
    assert verdicts == ["claimed-but-none-died", "claimed-but-none-died", "group-killed"]
