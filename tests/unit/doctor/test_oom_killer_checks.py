"""The OOM killer, its log, and other programs that kill: each check in each of its states."""

import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from oomctl.doctor.machine import Program
from oomctl.doctor.userspace_checks import OOM_DAEMONS, system_unit
from tests.machine import own_cgroup, the


@pytest.mark.parametrize(("value", "state"), [(0, "ok"), (1, "warning"), (2, "missing")])
def test_panic_on_oom(fit_machine, value, state):
    fit_machine.write("/proc/sys/vm/panic_on_oom", f"{value}\n")
    found = the(fit_machine, "panic_on_oom")
    assert found.state == state
    assert found.found.startswith("with --global: ") is (value == 1)
    assert ("sysctl vm.panic_on_oom=0" in found.fix) is bool(value)


@pytest.mark.parametrize(
    ("value", "protected", "state"), [(0, False, "ok"), (1, True, "ok"), (1, False, "warning")]
)
def test_oom_kill_allocating_task(fit_machine, value, protected, state):
    fit_machine.write("/proc/sys/vm/oom_kill_allocating_task", f"{value}\n")
    if not protected:
        fit_machine.lack(24)
    assert the(fit_machine, "oom_kill_allocating_task").state == state


@pytest.mark.parametrize(
    ("name", "path", "text", "says"),
    [
        ("oom_dump_tasks", "vm/oom_dump_tasks", "0", "do not list"),
        ("oom_dump_tasks", "vm/oom_dump_tasks", "1", "lists every task"),
        ("kernel.panic", "kernel/panic", "0", "halts after a panic"),
        ("kernel.panic", "kernel/panic", "10", "reboots"),
        ("kernel log", "kernel/dmesg_restrict", "0", "readable"),
        ("overcommit_memory", "vm/overcommit_memory", "1", "hogs can use all free memory"),
    ],
)
def test_settings_that_are_only_reported(fit_machine, name, path, text, says):
    fit_machine.write(f"/proc/sys/{path}", text)
    found = the(fit_machine, name)
    assert (found.state, says in found.found) == ("ok", True)


@pytest.mark.parametrize(("level", "state"), [(0, "ok"), (4, "ok"), (5, "warning"), (7, "warning")])
def test_the_console(fit_machine, level, state):
    fit_machine.write("/proc/sys/kernel/printk", f"{level}\t4\t1\t7\n")
    found = the(fit_machine, "console loglevel")
    assert found.state == state
    assert found.fix == ("" if state == "ok" else "sysctl kernel.printk=4")


def test_a_kernel_without_printk(fit_machine):
    fit_machine.remove("/proc/sys/kernel/printk")
    assert the(fit_machine, "console loglevel").found == "this kernel has no printk"


@pytest.mark.parametrize("name", sorted(OOM_DAEMONS))
def test_a_daemon_that_kills(fit_machine, name):
    fit_machine.running.append(Program(77, name, ""))
    found = the(fit_machine, "OOM daemons")
    assert found.state == "warning"
    assert f"{name} (pid 77)" in found.found
    assert found.fix == f"systemctl stop {name}"


def test_a_daemon_is_known_by_its_file_too(fit_machine):
    fit_machine.running += [
        Program(5, "python3", "/usr/bin/python3"),
        Program(6, "x", "/b/earlyoom"),
    ]
    assert the(fit_machine, "OOM daemons").found.startswith("earlyoom (pid 6)")


def test_hidden_processes(fit_machine):
    fit_machine.running.clear()
    found = the(fit_machine, "OOM daemons")
    assert (found.state, "are hidden" in found.found) == ("warning", True)


@pytest.mark.parametrize(
    ("said", "state", "says"),
    [
        ((0, "continue\n"), "ok", "continue"),
        ((0, "stop\n"), "warning", "systemd ends the whole unit"),
        ((0, "kill\n"), "warning", "systemd ends the whole unit"),
        ((0, "\n"), "warning", "unknown for session-3.scope"),
        ((1, "Failed to connect to bus\x1b[2J\n"), "warning", r"bus\x1b[2J"),
        (subprocess.TimeoutExpired("systemctl", 5), "warning", "cannot be checked"),
    ],
)
def test_the_oom_policy_of_our_own_scope(fit_machine, said, state, says):
    own_cgroup(fit_machine, "session-3.scope")
    fit_machine.write("/proc/1/comm", "systemd\n")
    fit_machine.said["systemctl"] = said
    found = the(fit_machine, "OOMPolicy")
    assert (found.state, says in found.found) == (state, True)
    assert fit_machine.asked[0][-2:] == ("--", "session-3.scope")


def test_systemctl_does_not_run_without_a_unit(fit_machine):
    assert the(fit_machine, "OOMPolicy").state == "ok"
    fit_machine.write("/proc/1/comm", "systemd\n")
    assert "in no unit" in the(fit_machine, "OOMPolicy").found
    assert fit_machine.asked == []


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/", None),
        ("/user.slice", None),
        ("/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user@7.service/app.slice/run-9.scope", "user@7.service"),
        ("/system.slice/x.service/payload", "x.service"),
    ],
)
def test_the_unit_that_a_cgroup_belongs_to(cgroup, unit):
    assert system_unit(cgroup) == unit


ENTRY = next(iter(entry_points(group="console_scripts", name="oomctl")))
SCRIPT = f"#!/v/bin/python\nfrom {ENTRY.module} import {ENTRY.attr}\n".encode()


@pytest.mark.parametrize(
    ("command", "state", "says"),
    [
        (None, "ok", "none; start oomctl by its path"),
        ((Path("/v/bin/oomctl"), SCRIPT), "ok", "this"),
        ((Path("/usr/bin/oomctl"), b"\x7fELF\2\1\1"), "warning", "is systemd's oomctl"),
        ((Path("/usr/bin/oom\x1bctl"), b""), "warning", r"oom\x1bctl is another oomctl"),
    ],
)
def test_the_oomctl_in_path(fit_machine, command, state, says):
    fit_machine.command = command
    found = the(fit_machine, "oomctl in PATH")
    assert (found.state, says in found.found) == (state, True)
    assert ("bpf-oomctl" in found.fix) is (state == "warning")


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("vm/panic_on_oom", "panic_on_oom"),
        ("vm/oom_kill_allocating_task", "oom_kill_allocating_task"),
        ("vm/oom_dump_tasks", "oom_dump_tasks"),
        ("kernel/panic", "kernel.panic"),
    ],
)
def test_a_setting_that_the_kernel_lacks(fit_machine, name, check):
    fit_machine.remove(f"/proc/sys/{name}")
    found = the(fit_machine, check)
    assert found.state == "ok"
    assert "this kernel has no such setting" in found.found
