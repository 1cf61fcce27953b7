"""The whole suite on a kernel that keeps the contract."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from oomctl.bpf import btf
from oomctl.smoke import runner, suite
from tests.scanners import cut, found

PATIENCE = 900


@pytest.mark.timeout(PATIENCE)
def test_the_whole_suite_passes_or_says_why_not(oomctl):
    result = oomctl("smoke", "--format", "json")
    whole = json.loads(result.stdout)
    failed = [case for case in whole["cases"] if case["result"] == "failed"]
    assert failed == []
    assert result.exit_code == 0
    assert [case["name"] for case in whole["cases"]] == [case.name for case in suite.cases()]
    assert whole["counts"]["passed"] >= 170
    skipped = {case["name"]: case["reason"] for case in whole["cases"] if case["reason"]}
    assert all(skipped.values())
    # disposable machines, and what kernels or machines without swap do not have
    may_be = {case.name for case in suite.cases() if case.group in ("panic", "context")}
    may_be |= {f"loadtime.{name}" for name in ("irqs-off", "preempt-off", "oom-ops")}
    may_be |= {f"loadtime.{name}" for name in ("may-task-work", "tp-btf-task-work")}
    assert skipped.keys() <= may_be | {"loadtime.may-psi-avgs-work", "selection.swap-counts"}


def test_a_stall_is_waited_for_where_there_is_swap(oomctl, swap_area):
    with swap_area(256 << 20):
        result = oomctl("smoke", "context.stall")
    assert result.exit_code == 0, result.stdout
    assert "# 1 passed, 0 failed, 0 skipped" in result.stdout


def test_cases_that_repeat_pass_every_time(oomctl):
    result = oomctl("smoke", "lock.busy", "lock.wait", "arguments.flags-4", "--repeat", "5")
    assert result.exit_code == 0, result.stdout
    assert "# 3 passed, 0 failed, 0 skipped" in result.stdout


def test_a_sysctl_is_as_it_was_after_each_case(oomctl, sysctl):
    sysctl("vm.oom_kill_allocating_task", 0)
    assert oomctl("smoke", "system.allocating-*").exit_code == 0
    with open("/proc/sys/vm/oom_kill_allocating_task") as file:
        assert file.read() == "0\n"


def test_a_kernel_that_would_panic_is_not_asked(oomctl, sysctl):
    sysctl("vm.panic_on_oom", 2)
    result = oomctl("smoke", "selection", "system")
    assert result.exit_code == 3
    assert "# SKIP vm.panic_on_oom is 2: the machine would panic" in result.stdout
    sysctl("vm.panic_on_oom", 1)
    result = oomctl("smoke", "selection.largest", "system.largest")
    assert result.exit_code == 0
    assert "ok 1 largest # SKIP vm.panic_on_oom is 1" in result.stdout


def test_a_failure_tells_what_came(oomctl, monkeypatch):
    """A kernel whose MAX_PAGE_ORDER is not what the suite believes."""
    monkeypatch.setattr(runner, "_max_order", lambda: 8)
    result = oomctl("smoke", "arguments.order-max-plus-1")
    assert result.exit_code == 1
    for line in (
        "  # expected: calls returning EINVAL: 1",
        "  # actual: 1",
        "  # expected: no task dies",
        "  # actual: killed: small",
        "  not ok 1 order-max-plus-1",
        "not ok 1 arguments",
    ):
        assert f"\n{line}\n" in result.stdout
    assert "# task small: pid " in result.stdout
    assert "kernel log: Memory cgroup out of memory: Killed process" in result.stdout


@pytest.mark.parametrize(("group", "after"), [("inflight", 0), ("lock", 0.3), ("lock", 1)])
def test_a_signal_ends_it_and_nothing_is_left(group, after):
    """The fixture of every kernel test looks for what is left."""
    running = subprocess.Popen(
        [sys.executable, "-m", "oomctl", "smoke", "returns.0-*", group],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout
    while not running.stdout.readline().startswith(b"ok 1 returns"):
        assert running.poll() is None
    time.sleep(after)
    running.send_signal(signal.SIGTERM)
    said, complaint = running.communicate(timeout=60)
    assert running.returncode == 143, (complaint, said)
    assert b"its processes, cgroups and temporary files are gone" in complaint
    assert b"not ok" not in said


def test_a_kernel_with_another_kfunc_is_told_apart(oomctl, monkeypatch):
    found = btf.find_kfunc()
    rfc = btf.Kfunc("vmlinux", found.parameters[:2])
    monkeypatch.setattr(btf, "find_kfunc", lambda: rfc)
    result = oomctl("smoke", "lock")
    assert result.exit_code == 3
    assert "kfunc RFC from vmlinux" in result.stdout
    assert "# SKIP this kernel's kfunc has the shape of RFC" in result.stdout


@contextmanager
def kernel_log():
    """Collect the texts of the kernel log, also those that a process has written.

    They must fit into the kernel's buffer, which is read at the end of the block.
    """
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    texts = []
    try:
        os.lseek(fd, 0, os.SEEK_END)
        yield texts
        with suppress(BlockingIOError):
            while True:
                record = os.read(fd, 8192).decode()
                texts.append(record.split(";", 1)[1].split("\n")[0] + "\n")
    finally:
        os.close(fd)


@pytest.mark.parametrize("cases", ["returns", "group.[a-m]*", "lock.busy", "system.largest"])
def test_no_scanner_of_kernel_logs_fails_for_what_is_expected(oomctl, cases):
    with kernel_log() as texts:
        result = oomctl("smoke", cases)
    assert result.exit_code == 0, result.stdout
    text = "".join(texts)
    assert found(text)
    assert found(cut(text)) == []
    assert text.count("; OOM reports are expected") == text.count("oomctl: end ") > 0


def test_a_declaration_is_marked_too(oomctl):
    with kernel_log() as texts:
        assert oomctl("declare").exit_code == 0
    assert found("".join(texts))
    assert found(cut("".join(texts))) == []
