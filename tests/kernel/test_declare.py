"""`oomctl declare` on a kernel that has the kfunc: real declarations, real deaths."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kernel.conftest import CGROUPS, leftovers
from tests.results import rises_of

TEN_YEARS_NS = 10 * 365 * 86_400 * 10**9


def fates(result):
    return {task["name"]: task["fate"] for task in result["tasks"]}


def target_events(result):
    return rises_of(result, result["calls"][0]["target"])


def test_default_kills_the_largest_of_its_hogs(declare):
    code, result = declare()
    assert code == 0
    assert fates(result) == {"small": "survived", "medium": "survived", "large": "oom-killed"}
    (call,) = result["calls"]
    assert (call["ret"], call["errno"], call["order"], call["flags"]) == (1, None, 0, 1)
    assert 0 < call["duration_ns"] < TEN_YEARS_NS
    victim = next(task for task in result["tasks"] if task["name"] == "large")
    assert victim["signal"] == "SIGKILL"
    assert victim["died_after_ns"] > 0
    assert call["killed_pids"] == [victim["pid"]]
    assert result["verdict"] == "killed"


def test_a_declaration_moves_oom_kill_but_neither_oom_nor_max(declare):
    _code, result = declare()
    events = target_events(result)
    assert events["oom_kill"] == 1
    assert events["oom"] == events["max"] == 0
    freed = result["memory_current"]["before_bytes"] - result["memory_current"]["after_bytes"]
    assert freed > 60 << 20


def test_hogs_hold_what_they_were_asked_for(declare):
    _code, result = declare("--hog", "one=5M", "--hog", "two=48M", "--hog", "none=0")
    for task in result["tasks"]:
        # kernel stack, page tables and the hog itself; a per-CPU stock of up to 64 pages (256K)
        assert 0 <= task["charged_bytes"] - task["size_bytes"] < 1 << 20
        assert 0 <= task["rss_bytes"] - task["size_bytes"] < 128 << 10


def test_environment_names_the_kernel_and_where_the_kfunc_is_from(declare):
    _code, result = declare()
    environment = result["environment"]
    assert environment["kernel"] == os.uname().release
    assert environment["kfunc"]["variant"] == "v3"
    assert "bpf_out_of_memory(struct mem_cgroup *" in environment["kfunc"]["signature"]
    assert environment["oom_score_adj"] == -1000
    assert int(Path("/proc/self/oom_score_adj").read_text()) == 0


@pytest.mark.parametrize(("order", "flags"), [("3", "1"), ("10", "0"), ("10", "1")])
def test_any_valid_order_and_flag_kills(declare, order, flags):
    code, result = declare("--order", order, "--flags", flags)
    assert code == 0
    assert fates(result)["large"] == "oom-killed"
    assert result["calls"][0]["flags"] == int(flags)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--order", "11"),
        ("--order", "-1"),
        ("--order", "2147483647"),
        ("--flags", "2"),
        ("--flags", "3"),
        ("--flags", str(1 << 63)),
    ],
    ids=" ".join,
)
def test_the_kernel_refuses_and_no_task_dies(declare, arguments):
    code, result = declare(*arguments)
    assert code == 1
    assert (result["calls"][0]["ret"], result["calls"][0]["errno"]) == (-22, "EINVAL")
    assert set(fates(result).values()) == {"survived"}
    assert result["verdict"] == "invalid-argument"
    assert not any(target_events(result).values())


def test_waiting_is_the_default_for_a_memcg_and_can_be_turned_off(declare):
    assert declare()[1]["calls"][0]["flags"] == 1
    assert declare("--no-wait")[1]["calls"][0]["flags"] == 0


def test_an_empty_cgroup_has_no_killable_task(declare):
    code, result = declare("--hogs", "0")
    assert code == 1
    assert result["calls"][0]["ret"] == 0
    assert result["verdict"] == "no-killable-task"


def test_unkillable_tasks_live(declare):
    code, result = declare("--hog", "a=8M,adj=-1000", "--hog", "b=8M,adj=-1000")
    assert code == 1
    assert result["calls"][0]["ret"] == 0
    assert fates(result) == {"a": "survived", "b": "survived"}


def test_adj_of_minus_999_does_not_protect(declare):
    code, result = declare("--hog", "only=8M,adj=-999")
    assert code == 0
    assert fates(result) == {"only": "oom-killed"}


def test_adj_weighs_a_thousandth_of_memory_max_a_point(declare):
    hogs = ("--hog", "small=10M,adj=1000", "--hog", "large=40M")
    assert fates(declare(*hogs, "--memory-max", "64M")[1])["small"] == "oom-killed"
    # without a limit the smallest difference of adj outranks every size
    unlimited = ("--hog", "small=1M,adj=1", "--hog", "large=40M")
    assert fates(declare(*unlimited)[1])["small"] == "oom-killed"


def test_adj_has_no_weight_below_a_thousand_pages(declare):
    _code, result = declare(
        "--hog", "small=512K,adj=1000", "--hog", "large=1M", "--memory-max", "3M"
    )
    assert fates(result) == {"small": "survived", "large": "oom-killed"}


def test_a_group_dies_but_for_the_unkillable(declare):
    code, result = declare(
        "--oom-group", "--hog", "a=8M", "--hog", "b=16M", "--hog", "safe=4M,adj=-1000"
    )
    assert code == 0
    assert fates(result) == {"a": "oom-killed", "b": "oom-killed", "safe": "survived"}
    assert target_events(result)["oom_group_kill"] == 1
    # the first victim is scanned again, and counted again unless it is gone by then
    assert target_events(result)["oom_kill"] in (2, 3)
    assert sorted(result["calls"][0]["killed_pids"]) == sorted(
        task["pid"] for task in result["tasks"] if task["name"] != "safe"
    )
    assert result["verdict"] == "group-killed"


def test_repeat_waits_for_each_victim(declare):
    code, result = declare("--hogs", "3", "--size", "8M", "--repeat", "3")
    assert code == 0
    assert [call["ret"] for call in result["calls"]] == [1, 1, 1]
    assert sorted(task["call"] for task in result["tasks"]) == [0, 1, 2]
    assert target_events(result)["oom_kill"] == 3


def test_repeat_past_the_last_hog_is_not_as_wanted(declare):
    code, result = declare("--hog", "8M", "--repeat", "2")
    assert code == 1
    assert [call["verdict"] for call in result["calls"]] == ["killed", "no-killable-task"]
    assert fates(result) == {"hog-1": "oom-killed"}


def test_an_existing_cgroup_with_a_stranger_in_it(declare, cgroup, stranger):
    code, result = declare("--cgroup", str(cgroup))
    assert code == 0
    (task,) = result["tasks"]
    assert (task["pid"], task["name"], task["fate"]) == (stranger.pid, None, "oom-killed")
    assert task["charged_bytes"] > 24 << 20
    assert stranger.wait(10) == -signal.SIGKILL
    assert cgroup.is_dir()


def test_hogs_join_a_cgroup_that_holds_processes(declare, cgroup, stranger):
    code, result = declare("--cgroup", f"/{cgroup.name}", "--hog", "big=48M")
    assert code == 0
    assert fates(result) == {None: "survived", "big": "oom-killed"}
    assert {task["cgroup"] for task in result["tasks"]} == {f"/{cgroup.name}"}
    assert stranger.poll() is None


def test_hogs_get_leaves_in_a_cgroup_that_gives_controllers_to_children(declare, cgroup):
    (cgroup / "cgroup.subtree_control").write_text("+memory")
    code, result = declare("--cgroup", str(cgroup), "--hog", "big=16M", "--hog", "tiny=4M")
    assert code == 0
    assert fates(result) == {"big": "oom-killed", "tiny": "survived"}
    assert target_events(result)["oom_kill"] == 1
    assert [path for path in cgroup.iterdir() if path.is_dir()] == []


def test_a_frozen_victim_dies(declare, cgroup, stranger):
    (cgroup / "cgroup.freeze").write_text("1")
    code, result = declare("--cgroup", str(cgroup))
    assert code == 0
    assert fates(result) == {None: "oom-killed"}


def test_a_limit_that_kills_a_hog_while_it_fills_is_said_so(oomctl, cgroup):
    (cgroup / "memory.max").write_text("16M")
    (cgroup / "memory.swap.max").write_text("0")
    result = oomctl("declare", "--cgroup", str(cgroup), "--hog", "fat=64M")
    assert result.exit_code == 3
    assert "'fat' (64M" in result.stderr
    assert "could not fill its memory: oom-killed" in result.stderr
    assert result.stdout == ""


def test_oomctl_refuses_a_target_that_it_lives_in(oomctl, cgroup):
    own = cgroup / "own"
    own.mkdir()
    (own / "cgroup.procs").write_text("0")
    try:
        result = oomctl("declare", "--cgroup", str(cgroup))
        assert result.exit_code == 2
        assert "oomctl itself runs in" in result.stderr
    finally:
        (CGROUPS / "cgroup.procs").write_text("0")


def test_a_removed_cgroup_is_a_usage_error(oomctl, cgroup):
    result = oomctl("declare", "--cgroup", f"{cgroup}/gone")
    assert result.exit_code == 2
    assert "no such cgroup" in result.stderr


@pytest.mark.parametrize("root", ["/", "/sys/fs/cgroup", "/sys/fs/cgroup/../cgroup"])
def test_the_root_cgroup_is_refused(oomctl, root):
    result = oomctl("declare", "--cgroup", root)
    assert result.exit_code == 2
    assert "root cgroup" in result.stderr


def test_global_kills_the_largest_task_of_the_machine(declare):
    code, result = declare("--global", "--yes", "--hog", "huge=512M", "--hog", "small=8M")
    assert code == 0
    (call,) = result["calls"]
    assert (call["target"], call["cgroup_id"], call["flags"]) == (None, None, 0)
    assert fates(result) == {"huge": "oom-killed", "small": "survived"}


def test_global_says_first_which_task_the_kernel_would_pick(oomctl):
    result = oomctl("declare", "--global", "--yes", "--hog", "huge=512M")
    assert re.search(r"the kernel would pick: huge \(pid \d+, 51\d\.\dM, adj 0", result.stderr)


def test_global_needs_a_yes(oomctl):
    result = oomctl("declare", "--global")
    assert result.exit_code == 2
    assert "--yes" in result.stderr


def test_global_spares_oomctl_although_it_is_the_allocating_task(declare, sysctl):
    sysctl("vm.oom_kill_allocating_task", 1)
    code, result = declare("--global", "--yes", "--hog", "huge=512M")
    assert code == 0
    assert fates(result) == {"huge": "oom-killed"}


def test_a_panic_is_never_declared(oomctl, sysctl):
    sysctl("vm.panic_on_oom", 1)
    result = oomctl("declare", "--global", "--yes")
    assert result.exit_code == 3
    assert "vm.panic_on_oom is 1" in result.stderr
    assert oomctl("declare").exit_code == 0  # 1 spares a memcg
    sysctl("vm.panic_on_oom", 2)
    assert oomctl("declare").exit_code == 3


def test_keep_leaves_the_tree_and_the_survivors(oomctl):
    result = oomctl("declare", "--keep", "--hog", "a=4M", "--hog", "b=8M")
    assert result.exit_code == 0
    (kept,) = CGROUPS.glob("oomctl-*")
    assert (kept / "a" / "cgroup.procs").read_text().split() != []
    assert (kept / "b" / "cgroup.procs").read_text() == ""
    command = re.search(r"`(.*)`", result.stderr)[1]
    time.sleep(0.1)
    subprocess.run(["sh", "-c", command.replace("; find", "; sleep 1; find")], check=True)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def test_the_table_tells_the_story(oomctl):
    text = oomctl("declare", "--order", "2").stdout
    assert "bpf_out_of_memory(memcg, order=2, flags=WAIT_ON_OOM_LOCK)" in text
    assert re.search(r"^ *\d+ +large +\./large +large +64M +64\.\dM +0 +oom-killed +\d", text, re.M)
    assert re.search(r"^ *\d+ +small .* survived +-$", text, re.M)
    assert max(map(len, text.splitlines())) <= 80


def test_output_goes_to_a_file_whole(oomctl, tmp_path):
    result = oomctl("declare", "--format", "markdown", "--output", str(tmp_path / "report.md"))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "oom-killed" in (tmp_path / "report.md").read_text()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("moment", [0, 0.05, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_leaves_nothing(number, code, moment):
    child = subprocess.Popen(
        [sys.executable, "-m", "oomctl", "declare", "--repeat", "100000", "--hog", "8M"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(CGROUPS.glob("oomctl-*/hog-1")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(moment)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (code, ""), err
    assert "its processes, cgroups and temporary files are gone" in err
    assert "Traceback" not in err


def test_hogs_die_with_oomctl_and_the_next_command_cleans_up(oomctl):
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "oomctl",
            "declare",
            "--repeat",
            "100000",
            "--hog",
            "safe=8M,adj=-1000",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (made := list(CGROUPS.glob("oomctl-*/safe"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    child.kill()
    child.wait(10)
    while (made[0] / "cgroup.procs").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    result = oomctl("clean")
    assert (result.exit_code, result.stdout.count("removed ")) == (0, 1)
    assert leftovers() == []
