"""Faults that a guest's kernel reports, and the lines that cut OOM reports out of its log."""

import re

import pytest

from tests.lab.guests import MARKS, lab

pytestmark = MARKS

HUNG = """
echo 3 >/proc/sys/kernel/hung_task_timeout_secs
fsfreeze -f /var/tmp
touch /var/tmp/x &
sleep 12
fsfreeze -u /var/tmp
wait
exit 5
"""


def test_a_hung_task_is_a_failure_of_its_own():
    done = lab("--disk", "64M", "--", "sh", "-c", HUNG)
    said = done.stderr.decode()
    assert done.returncode == 123, said
    assert "oomctl: kernel-fault: hung-task: INFO: task touch:" in said
    assert "(COMMAND ended with status 5)" in said
    assert "mnt_want_write" in said


def test_an_expected_fault_is_none_and_a_missing_one_is():
    hung = "task touch:\\d+ blocked"
    done = lab("--disk", "64M", "--expect-console", hung, "--", "sh", "-c", HUNG)
    assert (done.returncode, done.stderr) == (5, b"")
    done = lab("--expect-console", hung, "--", "true")
    assert done.returncode == 123
    assert b"the kernel reported no such fault" in done.stderr


def test_an_expected_panic_is_a_success():
    panic = ["--expect-console", "sysrq triggered crash"]
    done = lab(*panic, "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("place", ["kmsg", "console"])
def test_what_a_user_writes_is_no_fault(place):
    line = f"echo 'Kernel panic - not syncing: x' >/dev/{place}"
    assert lab("--", "sh", "-c", line).returncode == 0


def test_declarations_are_named_in_the_kernel_log_and_no_fault():
    words = "oomctl declare >/dev/null; oomctl smoke returns.0-without-tasks >/dev/null; dmesg"
    done = lab("--", "sh", "-c", words)
    lines = done.stdout.decode().splitlines()
    texts = [line.partition("] oomctl: ")[2] for line in lines if "] oomctl: " in line]
    first, second, *rest = texts
    assert first.startswith("begin declare on /oomctl-")
    assert second == f"end {first[6:].partition(';')[0]}"
    assert rest == [
        "begin returns.0-without-tasks; OOM reports are expected",
        "end returns.0-without-tasks",
    ]
    log = "\n".join(lines)
    assert "invoked oom-killer" in log
    cut = re.sub(r"(?sm)oomctl: begin (.*?); OOM reports are expected$.*?oomctl: end \1$", "", log)
    assert "oom" not in cut.partition("bpf_oom_kfunc: module verification")[2].lower()
