"""Reports of the kernel about itself, found in consoles of which each kind has a file."""

from pathlib import Path

import pytest

from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault, FaultScanner, find_faults, judge

CONSOLES = Path(__file__).parent / "consoles"


def console(name):
    return (CONSOLES / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("name", "firsts"),
    [
        ("none", []),
        ("panic", ["panic: Kernel panic - not syncing: sysrq triggered crash"]),
        (
            "oops",
            [
                "oops: BUG: kernel NULL pointer dereference, address: 0000000000000008",
                "panic: Kernel panic - not syncing: Fatal exception in interrupt",
            ],
        ),
        (
            "warn",
            [
                "warn: WARNING: CPU: 0 PID: 77 at mm/page_counter.c:60 "
                "page_counter_cancel+0x56/0x60",
                "warn: WARNING: mm/page_counter.c:61 at page_counter_cancel+0x56/0x60, "
                "CPU#1: hog/78",
            ],
        ),
        (
            "lockdep",
            [
                "lockdep: WARNING: possible circular locking dependency detected",
                "lockdep: WARNING: suspicious RCU usage",
                "lockdep: [ BUG: Invalid wait context ]",
            ],
        ),
        ("kasan", ["kasan: BUG: KASAN: slab-use-after-free in oom_badness+0x1f/0x1c0"]),
        ("ubsan", ["ubsan: UBSAN: array-index-out-of-bounds in mm/memcontrol.c:99:3"]),
        (
            "rcu-stall",
            [
                "rcu-stall: rcu: INFO: rcu_preempt self-detected stall on CPU",
                "rcu-stall: rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: "
                "{ 0-.... } 5 jiffies",
                "rcu-stall: INFO: rcu_tasks detected stalls on tasks:",
            ],
        ),
        ("hung-task", ["hung-task: INFO: task tou ch:301 blocked for more than 120 seconds."]),
        (
            "hang",
            [
                "hang: watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [oomctl:300]",
                "hang: watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
            ],
        ),
    ],
)
def test_each_kind_is_found_by_its_first_line(name, firsts):
    assert [fault.title for fault in find_faults(console(name))] == firsts


def test_every_kind_has_a_console():
    assert {path.stem for path in CONSOLES.iterdir()} == {*FaultKind, "none"}


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("oops", "---[ end trace 0000000000000000 ]---"),
        ("warn", "---[ end trace 0000000000000000 ]---"),
        ("kasan", "The buggy address belongs to the object at ffff888004fab100"),
        ("hung-task", " </TASK>"),
    ],
)
def test_a_report_ends_with_the_last_line_of_its_kind(name, last):
    assert find_faults(console(name))[0].lines[-1] == last


def test_lines_may_come_without_time_stamps_and_with_callers():
    for stamp in ("", "[    1.000000] ", "[    1.000000][   T77] ", "<4>[    1.000000] "):
        [fault] = find_faults([f"{stamp}UBSAN: shift-out-of-bounds in a.c:1:2"])
        assert fault.lines == ("UBSAN: shift-out-of-bounds in a.c:1:2",)


def test_nothing_raw_reaches_a_terminal_and_a_flood_is_bounded():
    scanner = FaultScanner()
    for _ in range(100):
        scanner.feed(["BUG: \x1b[2J", *["x"] * 100])
    assert (len(scanner.faults), scanner.left_out) == (20, 80)
    assert scanner.faults[0].lines[0] == "BUG: \\x1b[2J"
    assert max(len(fault.lines) for fault in scanner.faults) == 80


def test_expected_faults_are_no_failure_and_their_lack_is():
    warn, hung = Fault(FaultKind.WARN, ("WARNING: a", "b")), Fault(FaultKind.HUNG_TASK, ("x",))
    assert judge((warn, hung), ["^b$", "x"]).good
    assert judge((), ()).good
    found = judge((warn, hung), ["WARNING", "never"])
    assert (found.unexpected, found.missing, found.good) == ((hung,), ("never",), False)
