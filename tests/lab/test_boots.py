"""The lab for real: boots machines on this host. OOMCTL_LAB_TESTS=1; `oomctl lab fetch` before."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

from tests.lab.guests import LAB, MARKS, lab

pytestmark = MARKS


def test_streams_come_apart_and_the_status_comes_through(tmp_path):
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as to, err.open("wb") as other:
        status = subprocess.run(
            [
                *LAB,
                "--",
                "sh",
                "-c",
                "printf 'out\\r\\n\\0'; echo err >&2; echo x >/dev/stdout; exit 42",
            ],
            stdout=to,
            stderr=other,
            check=False,
        ).returncode
    assert (status, out.read_bytes(), err.read_bytes()) == (42, b"out\r\n\0x\n", b"err\n")


def test_ten_megabytes_arrive_whole():
    words = ["sh", "-c", "head -c 10000000 /dev/urandom >/tmp/x; sha256sum /tmp/x >&2; cat /tmp/x"]
    done = lab("--", *words)
    assert len(done.stdout) == 10_000_000
    assert done.stderr.split()[0].decode() == hashlib.sha256(done.stdout).hexdigest()


def test_words_folder_and_environment_arrive_exactly(tmp_path):
    folder = tmp_path / "sp ace"
    folder.mkdir()
    show = "import os, sys; print(ascii([*sys.argv[1:], os.getcwd(), os.environ['X']]))"
    words = ["a b", "", "it's", "new\nline", "ünïcødé", "--help", os.fsdecode(b"\xff")]
    done = lab("--env", "X=1 2", "--", "python", "-c", show, *words, cwd=folder)
    assert done.stdout.decode().strip() == ascii([*words, str(folder), "1 2"])


def test_the_guest_is_what_the_tests_need():
    script = """
    set -e
    grep -qw memory /sys/fs/cgroup/cgroup.controllers
    ! grep -q 'cgroup ' /proc/mounts
    grep -q bpf_out_of_memory /proc/kallsyms
    test -e /sys/kernel/btf/bpf_oom_kfunc || grep -q 'T bpf_out_of_memory$' /proc/kallsyms
    test "$(wc -l </proc/swaps)" = 1
    touch /tmp/x "$PWD/x" /usr/x
    test "$(id -u)" = 0
    python -c 'import oomctl'
    command -v oomctl
    """
    done = lab("--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr


def test_swap_in_compressed_memory_and_on_a_disk():
    script = "tail -n +2 /proc/swaps | cut -d' ' -f1; cat /sys/block/zram0/disksize"
    done = lab("--zram", "64M", "--swap", "32M", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    first, second, size = done.stdout.decode().split()
    assert (first, second[:-1], size) == ("/dev/zram0", "/dev/vd", str(64 << 20))


def test_swap_on_a_kernel_that_refuses_zram():
    done = lab("--zram", "64M", "--append", "module_blacklist=zram", "--", "true")
    assert done.returncode == 3
    assert b"the guest could not use zram as swap" in done.stderr
    assert b"or give it a swap disk with --swap" in done.stderr


def test_what_the_guest_writes_stays_there_but_for_rwdir(tmp_path):
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    kept.mkdir()
    lost.mkdir()
    done = lab("--rwdir", str(kept), "--", "sh", "-c", f"echo 1 >{kept}/x; echo 2 >{lost}/x")
    assert done.returncode == 0
    assert (kept / "x").read_text() == "1\n"
    assert list(lost.iterdir()) == []


def test_command_that_is_not_there():
    done = lab("--", "no-such-program")
    assert done.returncode == 127
    assert b"no-such-program" in done.stderr


def test_panic_is_125_with_the_console():
    done = lab("--", "sh", "-c", "echo before; echo c >/proc/sysrq-trigger")
    assert (done.returncode, done.stdout) == (125, b"before\n")
    assert b"panicked: sysrq triggered crash" in done.stderr
    assert b"sysrq_handle_crash" in done.stderr


def test_timeout_is_124_and_in_time():
    started = time.monotonic()
    done = lab("--timeout", "15", "--", "sleep", "1000")
    assert done.returncode == 124
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("after", [0.5, 1.5, 12])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_guest_at_once(number, after):
    """On a busy machine Python may not have a handler yet after half a second."""
    process = subprocess.Popen([*LAB, "--", "sleep", "1000"], stderr=subprocess.PIPE)
    time.sleep(after)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode in (-number, 128 + number)
    assert b"Traceback" not in said


def test_a_daemon_left_behind_does_not_hold_the_machine_up():
    done = lab("--timeout", "100", "--", "sh", "-c", "sleep 1000 & echo started")
    assert (done.returncode, done.stdout) == (0, b"started\n")


def test_reader_that_goes_away():
    process = subprocess.Popen(
        [*LAB, "--", "sh", "-c", "while :; do echo y; done"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE


def test_two_at_once():
    both = [
        subprocess.Popen([*LAB, "--", "sh", "-c", f"echo {n}; exit {n}"], stdout=subprocess.PIPE)
        for n in (3, 4)
    ]
    said = [process.communicate()[0] for process in both]
    assert said == [b"3\n", b"4\n"]
    assert [process.returncode for process in both] == [3, 4]


def test_smoke_counts_a_panic_as_passed_where_it_was_expected():
    wanted = ["arguments.order-0", "panic.memcg-with-1-does-not-panic", "panic.no-killable-task"]
    command = [*LAB[:-1], "smoke", "--format", "json", *wanted]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    cases = {case["name"]: case for case in json.loads(done.stdout)["cases"]}
    assert [(name, case["result"]) for name, case in cases.items()] == [
        (name, "passed") for name in wanted
    ]
    [check] = cases["panic.no-killable-task"]["checks"]
    assert check["why"] == "System is deadlocked on memory"


def test_without_the_kfunc():
    done = lab("--no-kfunc", "--", "sh", "-c", "! grep -q bpf_out_of_memory /proc/kallsyms")
    assert done.returncode == 0


def test_doctor_without_the_kfunc():
    done = lab("--no-kfunc", "--", "python", "-m", "oomctl", "doctor", "--format", "json")
    assert done.returncode == 3, done.stderr
    checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert [name for name, each in checks.items() if each["state"] == "missing"] == ["kfunc"]
    assert "has no bpf_out_of_memory()" in checks["kfunc"]["found"]
    assert "oomctl kfunc load" in checks["kfunc"]["fix"]
    assert checks["BPF program"]["found"] == "not checked: needs kfunc"
    assert checks["BPF tracing"]["state"] == "ok"
    assert checks["modules"]["found"] == "the kernel loads unsigned modules"
