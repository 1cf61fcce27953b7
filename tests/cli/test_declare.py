import json
import os
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from tests.cli.command import declare, refused, run
from tests.outcomes import OUTCOMES


def test_a_dry_run_tells_every_step(machine):
    result = declare("--dry-run", "--hog", "a=1M,adj=-5", "--memory-max", "8M", "--order", "-1")
    assert result.exit_code == 0
    assert result.stderr == ""
    steps = result.stdout.splitlines()
    assert steps[0] == "write   /cgroup.subtree_control = +memory"
    assert steps[1].startswith("mkdir   /oomctl-")
    assert any(step.endswith("memory.max = 8388608") for step in steps)
    assert any(step.startswith("hog     a: 1M") and "adj -5" in step for step in steps)
    assert any("order=-1, flags=WAIT_ON_OOM_LOCK" in step for step in steps)
    assert machine.plans == []


def test_a_limit_of_nothing_is_written(machine):
    steps = declare("--dry-run", "--hogs", "0", "--memory-max", "0").stdout.splitlines()
    assert any(step.endswith("memory.max = 0") for step in steps)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "arguments",
    ["", "--hogs 3 --size 1M --oom-group", "--global", "--cgroup /a --hog 1M", "--keep -v"],
)
def test_a_dry_run_touches_nothing(machine, arguments, monkeypatch, tmp_path):
    machine.root.create_cgroup("a")
    for name in ("fork", "posix_spawn", "kill"):
        monkeypatch.setattr(f"os.{name}", None)
    before = snapshot(tmp_path)
    assert declare("--dry-run", *arguments.split()).exit_code == 0
    assert snapshot(tmp_path) == before


def test_a_dry_run_needs_neither_root_nor_kfunc_nor_cgroups(machine, monkeypatch, mounts):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    mounts()
    result = declare("--dry-run")
    assert result.exit_code == 0
    assert "call    bpf_out_of_memory(memcg of /oomctl-" in result.stdout


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
@pytest.mark.parametrize("kind", ["threaded", "domain invalid"])
def test_a_threaded_cgroup_is_refused_before_anything_is_made(machine, kind, dry):
    node = machine.root.create_cgroup("a").create_cgroup("b")
    (node.parent.directory / "cgroup.type").write_text("domain threaded\n")
    (node.directory / "cgroup.type").write_text(f"{kind}\n")
    says = (f"--cgroup /a/b: {node.directory} has the cgroup.type '{kind}'", "name /", "/a, the")
    refused(declare("--cgroup", "/a/b", *dry), 3, *says)
    refused(run("predict", "--cgroup", "/a/b"), 3, *says)
    assert machine.plans == []


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_cgroup_without_the_controller_has_the_same_cure_everywhere(machine, dry):
    node = machine.root.create_cgroup("a").create_cgroup("b")
    (node.directory / "memory.current").unlink()
    says = "/a/b has no memory controller; run `echo +memory | tee /", "/a/cgroup.subtree_control`"
    refused(declare("--cgroup", "/a/b", *dry), 3, *says)
    refused(run("predict", "--cgroup", "/a/b"), 3, *says)
    assert machine.plans == []


def test_hogs_join_a_threaded_domain_itself(machine):
    node = machine.root.create_cgroup("a")
    (node.directory / "cgroup.subtree_control").write_text("pids\n")
    assert "mkdir   /a/oomctl-" in declare("--dry-run", "--cgroup", "/a", "--hogs", "1").stdout
    (node.directory / "cgroup.type").write_text("domain threaded\n")
    result = declare("--dry-run", "--cgroup", "/a", "--hogs", "1")
    assert result.exit_code == 0
    assert "mkdir" not in result.stdout


def test_a_dry_run_in_an_existing_cgroup_adds_no_hogs_unasked(machine):
    machine.root.create_cgroup("a")
    result = declare("--dry-run", "--cgroup", "/a")
    assert result.stdout == (
        "call    bpf_out_of_memory(memcg of /a, order=0, flags=WAIT_ON_OOM_LOCK)\n"
    )
    assert "hog     hog-1" in declare("--dry-run", "--cgroup", "/a", "--hogs", "1").stdout


def planned(machine, *arguments):
    result = declare(*arguments)
    assert result.exit_code == 0, result.output
    return machine.plans[-1]


def test_without_options_three_hogs_and_one_call_that_waits(machine):
    plan = planned(machine)
    assert len(plan.hogs) == 3
    assert plan.cgroups[0].startswith(f"/oomctl-{os.getpid()}-")
    (step,) = plan.steps
    assert (step.call.target, step.call.order, step.call.flags) == (plan.cgroups[0], 0, 1)
    assert (step.repeat, plan.keep) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        ("", 1),
        ("--wait", 1),
        ("--no-wait", 0),
        ("--flags 0", 0),
        ("--flags 0x4", 4),
        ("--flags 18446744073709551615", 2**64 - 1),
        ("--global --yes", 0),
        ("--global --yes --wait", 1),
    ],
)
def test_flags(machine, arguments, flags):
    assert planned(machine, *arguments.split()).steps[0].call.flags == flags


@pytest.mark.parametrize("order", [-(2**31), -1, 0, 11, 2**31 - 1])
def test_the_order_is_passed_as_it_is(machine, order):
    assert planned(machine, "--order", order).steps[0].call.order == order


def test_options_reach_the_plan(machine):
    plan = planned(
        machine,
        *["--hog", "a=1M,adj=3", "--hogs", "2", "--size", "2M"],
        *["--repeat", "3", "--timeout", "1.5", "--keep"],
    )
    assert [(hog.name, hog.size, hog.oom_score_adj) for hog in plan.hogs] == [
        ("a", 1 << 20, 3),
        ("hog-2", 2 << 20, 0),
        ("hog-3", 2 << 20, 0),
    ]
    assert (plan.steps[0].repeat, plan.timeout, plan.keep) == (3, 1.5, True)


def test_two_runs_never_share_a_name(machine):
    assert planned(machine).cgroups != planned(machine).cgroups


@pytest.mark.parametrize(
    ("name", "code"),
    [("default", 0), ("group", 0), ("global", 0), ("refused", 1), ("empty", 1), ("repeated", 1)],
)
def test_the_exit_code_is_the_verdict(machine, name, code):
    machine.outcome = OUTCOMES[name]
    assert declare().exit_code == code


def test_formats(machine, golden):
    golden("default.txt", declare().stdout)
    golden("default.json", declare("--format", "json").stdout)
    golden("default.md", declare("-f", "markdown").stdout)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnsupportedError("the hog died", "see dmesg"), 3),
        (OomctlError("cannot remove the cgroup", "rmdir it"), 4),
        (OSError(24, "Too many open files"), 4),
        (FileNotFoundError(2, "No such file or directory", "/x"), 4),
    ],
)
def test_an_experiment_that_fails_is_one_line_and_leaves_no_file(machine, error, code, tmp_path):
    machine.outcome = error
    refused(declare("--output", tmp_path / "result"), code)
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup2"]


def test_details_come_with_v_only(machine):
    machine.outcome = UnsupportedError("it failed", "do this", "first line\nsecond line")
    refused(declare(), 3, "it failed; do this")
    assert "oomctl: second line" in declare("-v").stderr.splitlines()


def test_a_file_gets_the_result_and_stdout_nothing(machine, tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    result = declare("--format", "json", "--output", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert json.loads(path.read_text())["schema"] == 3
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cgroup2", "result.json"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_cannot_be_made_is_said_before_anything_is_done(machine):
    refused(declare("--output", "/proc/nonsense/x"), 2, "--output /proc/nonsense/x")
    assert machine.plans == []


def test_a_full_disk(machine):
    refused(declare("--output", "/dev/full"), 4, "cannot write the result to /dev/full: No space")


def test_a_pipe_is_written_to_not_replaced(machine, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert declare("--output", path).exit_code == 0
        assert os.read(reader, 10) == b"target    "
        assert path.is_fifo()
    finally:
        os.close(reader)


def test_a_limit_may_be_max(machine):
    assert declare("--memory-max", "max", "--swap-max", "max").exit_code == 0
    (plan,) = machine.plans
    written = {setting.file: setting.value for setting in plan.settings}
    assert (written["memory.max"], written["memory.swap.max"]) == ("max", "max")
    refused(declare("--memory-max", "most"), 2, "--memory-max")
    refused(declare("--memory-max", "50%"), 2, "--memory-max")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("oomctl.console.not_interactive", lambda: "")


def test_global_with_yes_says_what_it_would_kill_and_goes_on(machine):
    result = declare("--global", "--yes")
    assert result.exit_code == 0
    first, second = result.stderr.splitlines()
    assert first == "oomctl: the kernel would pick: big (pid 77, 64M, adj 5, /user)"
    assert second.startswith("oomctl: after it: next (pid 78")
    assert result.stdout != ""
    assert machine.plans[0].steps[0].call.target is None


def test_global_asks_a_person(machine, terminal):
    result = declare("--global", input="y\n")
    assert result.exit_code == 0
    assert result.stderr.endswith("oomctl: declare OOM on the whole system? [y/N] ")
    assert result.stdout.startswith("target")


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yep\n", "y" * 5000])
def test_global_takes_anything_but_yes_for_no(machine, terminal, answer):
    result = declare("--global", input=answer)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.endswith("not declared; nothing was killed; everything made is removed\n")


def test_a_wrong_option_is_said_before_what_the_machine_lacks(mounts):
    mounts()
    assert declare("--memory-max", "1M").exit_code == 2
    assert declare("--cgroup", "/a").exit_code == 3
    assert declare("--global", "--hogs", "0", "--oom-group", "--yes").exit_code == 2
