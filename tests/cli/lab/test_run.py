"""`oomctl lab run` without a machine booted: options, refusals, exit codes."""

import re
import shlex
from pathlib import Path

import pytest

from oomctl.errors import UnsupportedError
from oomctl.lab import (
    apt,
    architecture,
    boot,
    guest_kernel,
    guest_root,
    stock,
    tools,
    vm,
)
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.vm import Ending
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault
from tests.cli.lab.command import invoke


@pytest.mark.parametrize(
    ("command", "is_said"),
    [
        ("oomctl run s.toml --record r.jsonl", True),
        ("oomctl run s.toml --record=r.jsonl", True),
        ("/x/bin/oomctl declare -o out.json", True),
        ("oomctl declare -f html=page.html", True),
        ("oomctl smoke --format=json=all.json", True),
        ("oomctl smoke -f lava-lines=all.txt", True),
        ("oomctl run s.toml --repeat 9", True),
        ("oomctl run s.toml --vary hog.a.size=1M,2M", False),  # a round of each is not recorded
        ("oomctl run s.toml --repeat 9 --no-record", False),
        ("oomctl run s.toml --set memory.max=9M -f json", False),
        ("oomctl declare --hog a=9M", False),
        ("touch -o r", False),
    ],
)
def test_files_that_go_with_the_guest_are_said(boots, tmp_path, command, is_said):
    said = "files of oomctl go with the guest: `--rwdir .` keeps"
    for options, is_lost in ((), is_said), (("--rwdir", tmp_path), False):
        boots[0].append(Ending(0, False, 2.0, 3.0, ""))
        done = invoke("run", *options, "--", *command.split())
        assert (done.exit_code, said in done.stderr) == (0, is_lost)


@pytest.mark.parametrize("status", [0, 1, 42, 137, 255])
def test_the_commands_status_is_ours(boots, status):
    boots[0].append(Ending(status, False, 2.0, 3.0, ""))
    assert invoke("run", "--", "x").exit_code == status


def test_timeout_says_what_was_going_on(boots):
    boots[0].append(Ending(None, True, 2.0, 9.0, ""))
    done = invoke("run", "--timeout", "9", "--", "x")
    assert done.exit_code == 124
    assert "timeout of 9s" in done.stderr
    assert "--timeout TIME gives it longer" in done.stderr
    assert "running" in done.stderr
    boots[0].append(Ending(None, True, None, 9.0, "stuck here\n"))
    done = invoke("run", "--", "x")
    assert "still booting" in done.stderr
    assert "stuck here" in done.stderr


def test_panic_shows_the_end_of_the_console(boots):
    lines = [f"line {n}" for n in range(200)] + ["Kernel panic - not syncing: oops", "end"]
    boots[0].append(Ending(None, False, 2.0, 3.0, "\n".join(lines)))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert "panicked: oops" in done.stderr
    assert "line 199" in done.stderr
    assert "line 5\n" not in done.stderr


def test_guest_that_vanished(boots):
    boots[0].append(Ending(None, False, 2.0, 3.0, "", "its QEMU was killed by SIGKILL"))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert "vanished: its QEMU was killed by SIGKILL" in done.stderr


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (
            "",
            "the guest's kernel printed nothing, and it was switched off; its image may be damaged",
        ),
        ("Linux version", "the guest vanished before the command began: it was switched off"),
    ],
)
def test_guest_that_did_not_come_up(boots, console, said):
    boots[0].append(Ending(None, False, None, 3.0, console, "it was switched off"))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert done.stderr.startswith(f"oomctl: {said}\n")


WARN = Fault(FaultKind.WARN, ("WARNING: CPU: 0 PID: 1 at mm/x.c:1 f", "Call Trace:"))

PANIC = Fault(FaultKind.PANIC, ("Kernel panic - not syncing: sysrq",))


@pytest.mark.parametrize(
    ("status", "faults", "expected", "code"),
    [
        (0, (), (), 0),
        (0, (WARN,), (), 123),
        (5, (WARN,), (), 123),
        (0, (WARN,), ("mm/x.c",), 0),
        (5, (WARN,), ("Call Trace",), 5),
        (0, (), ("never",), 123),
        (None, (PANIC,), (), 125),
        (None, (PANIC,), ("not syncing: sysrq",), 0),
        (None, (PANIC, WARN), ("not syncing: sysrq",), 125),
        (None, (WARN,), ("WARNING",), 125),
    ],
)
def test_a_fault_of_the_kernel_is_a_failure_unless_it_is_expected(
    boots, status, faults, expected, code
):
    boots[0].append(Ending(status, False, 2.0, 3.0, "", "", faults))
    words = [word for text in expected for word in ("--expect-console", text)]
    done = invoke("run", *words, "--", "x")
    assert done.exit_code == code
    if code == 123 and faults:
        ended = f"(COMMAND ended with status {status})"
        assert done.stderr == (
            f"oomctl: kernel-fault: warn: {WARN.lines[0]} {ended}\n"
            f"  {WARN.lines[0]}\n  Call Trace:\n"
        )


def test_the_machine_is_as_asked(boots):
    words = "--disk 1G --swap 64M --zram 32M --numa-nodes 2 --append hugepages=8 --append quiet"
    assert invoke("run", *words.split(), "--forward", "22", "--", "x").exit_code == 0
    machine = boots[-1][0]
    assert (machine.scratch, machine.swap, machine.nodes) == (1 << 30, 64 << 20, 2)
    assert (machine.zram, machine.needs_zram) == (32 << 20, True)
    assert (machine.append, machine.forward) == (("hugepages=8", "quiet"), 22)


def test_words_after_the_dashes_and_after_the_command_are_its_own(boots):
    assert invoke("run", "--cpus", "3", "--", "sh", "-c", "exit 1", "--memory").exit_code == 0
    machine, job, _ = boots[-1]
    assert job.words == ("sh", "-c", "exit 1", "--memory")
    assert (machine.cpus, machine.memory_mib) == (3, 2048)
    invoke("run", "ls", "-la")
    assert boots[-1][1].words == ("ls", "-la")


def test_environment_of_the_command(boots, monkeypatch):
    monkeypatch.setenv("OOMCTL_KERNEL_TESTS", "1")
    monkeypatch.setenv("SECRET", "no")
    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.setenv("PASS", "as it is")
    invoke("run", "--env", "A=b=c", "--env", "PASS", "--env", "EMPTY=", "--", "x")
    environment = boots[-1][1].environment
    assert "SECRET" not in environment
    assert environment["A"] == "b=c"
    assert environment["PASS"] == "as it is"
    assert environment["EMPTY"] == ""
    assert environment["TERM"] == "vt100"
    assert environment["OOMCTL_KERNEL_TESTS"] == "1"
    assert environment["PATH"].endswith(":/bin")


def test_folder_is_the_callers(boots, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    invoke("run", "--", "x")
    assert boots[-1][1].cwd == str(tmp_path)


def test_no_kfunc_builds_no_module(boots, monkeypatch):
    monkeypatch.setattr(guest_kernel, "module_for", lambda kernel: pytest.fail("built"))
    assert invoke("run", "--no-kfunc", "--", "x").exit_code == 0
    assert boots[-1][1].module is None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--memory", "64Q", "--", "x"], "'64Q' is not a size"),
        (["--memory", "1M", "--", "x"], "too small"),
        (["--timeout", "0", "--", "x"], "'--timeout': 0 is out of range; it goes from 1s to"),
        (["--timeout", "-1", "--", "x"], "'--timeout': '-1' is not a time"),
        (["--timeout", "nan", "--", "x"], "'--timeout': 'nan' is not a time"),
        (["--timeout", "inf", "--", "x"], "'--timeout': 'inf' is not a time"),
        (["--env", "NOT_SET_ANYWHERE", "--", "x"], "not set here"),
        (["--env", "A B=c", "--", "x"], "is not the name of a variable"),
        (["--env", "=c", "--", "x"], "is not the name of a variable"),
        (["--rwdir", "/does/not/exist", "--", "x"], "not a folder"),
        (["--kernel", "/does/not/exist", "--", "x"], "does not exist"),
        (["--", ""], "empty"),
        (["--cpus", "0", "--", "x"], "--cpus"),
        (["--numa-nodes", "0", "--", "x"], "--numa-nodes"),
        (["--numa-nodes", "64", "--", "x"], "less than 64M of --memory for each"),
        (["--disk", "1K", "--", "x"], "it goes from 16M to 1024G"),
        (["--swap", "2000G", "--", "x"], "it goes from 16M to 1024G"),
        (["--append", "a\nb", "--", "x"], "is not a word of a kernel command line"),
        (["--append", "", "--", "x"], "is empty"),
        (["--append", " ", "--", "x"], "is not a word of a kernel command line"),
        (["--expect-console", "(", "--", "x"], "'(' is not a regular expression"),
        (["--kvm", "maybe", "--", "x"], "--kvm"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_one_line_and_2(words, why):
    done = invoke("run", *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert "Traceback" not in done.output


def test_missing_programs_are_named_with_the_command_that_brings_them(monkeypatch):
    def missing(_guest):
        raise UnsupportedError("the lab needs kmod, not on this machine", "apt install kmod")

    monkeypatch.setattr(tools, "require", missing)
    done = invoke("run", "--", "x")
    assert done.exit_code == 3
    assert "apt install kmod" in done.stderr


def test_require_names_all_that_is_missing(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(tools, "virtme_run", lambda: Path("/v/virtme-run"))
    monkeypatch.setattr(tools.programs, "which", lambda name: None)
    with pytest.raises(UnsupportedError) as error:
        tools.require()
    for package in ("busybox-static", "file", "kmod", "qemu-system"):
        assert package in error.value.hint


def test_without_virtme_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(tools.programs, "which", lambda name: None)
    with pytest.raises(UnsupportedError) as error:
        tools.virtme_run()
    assert error.value.hint == "pip install 'oomctl[lab]'"


def test_dry_run_prints_commands_a_shell_can_read(monkeypatch):
    monkeypatch.setattr(vm, "run", lambda *_: pytest.fail("booted"))
    monkeypatch.setattr(boot, "run_virtme", lambda command: "/bin/qemu-x -m 1\n")
    done = invoke("run", "--dry-run", "--", "x")
    assert done.exit_code == 0
    made, booted = (shlex.split(line) for line in done.stdout.splitlines() if line[0] != "#")
    assert (made[0], booted[0]) == ("/v/virtme-run", "/bin/qemu-x")
    assert "-append" in booted


def test_dry_run_fetches_nothing(monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    monkeypatch.setattr(stock, "get", lambda *_: pytest.fail("fetched"))
    done = invoke("run", "--dry-run", "--", "x")
    assert done.exit_code == 2
    assert "oomctl lab fetch" in done.stderr


def test_help_documents_the_exit_statuses():
    text = invoke("run", "--help").stdout
    for status in ("124", "125", "127", "128+N"):
        assert status in text


def test_a_dry_run_for_another_architecture(monkeypatch, tmp_path):
    monkeypatch.setattr(architecture.platform, "machine", lambda: "x86_64")
    kernel = Kernel("6.12-arm64", Path("/k/vmlinuz"), None, True, architecture=architecture.ARM)
    monkeypatch.setattr(stock, "chosen", lambda _arch: kernel)
    monkeypatch.setattr(apt, "machine_codename", lambda: "bookworm")
    words = ["run", "--arch", "arm64", "--dry-run", "--", "x"]
    refused = invoke(*words)
    assert refused.exit_code == 2
    assert "was not fetched yet; oomctl lab fetch --arch arm64" in refused.stderr
    root = guest_root._home(architecture.ARM)
    root.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boot, "run_virtme", lambda command: "/bin/qemu-system-aarch64\n")
    done = invoke(*words)
    assert done.exit_code == 0
    assert f"--arch aarch64 --root {root} " in done.stdout
    assert re.search(rf"fsdev local,id=share\d,path={tmp_path},\S*readonly=on", done.stdout)
    assert "-cpu neoverse-n1" in done.stdout
    assert "PYTHONPATH=/opt/oomctl:" in done.stdout
