"""All checks together; a failed check is a finding, whatever the kernel's files contain."""

import errno
import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oomctl.doctor import CHECKS, examine
from oomctl.doctor.hog_checks import Swap, parse_swaps
from oomctl.doctor.machine import selected
from oomctl.errors import OomctlError
from oomctl.proc import procfs
from tests.machine import ALL_CAPABILITIES, the

ONE_MACHINE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_nothing_is_wrong(fit_machine):
    seen = examine(fit_machine, CHECKS)
    assert {each.name: each.found for each in seen.findings if each.state != "ok"} == {}
    assert seen.fit
    assert all(not each.fix for each in seen.findings)


def test_names_are_unique_and_prerequisites_come_first():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for number, check in enumerate(CHECKS):
        assert not check.after or check.after in names[:number]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/f"), "/f: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (ValueError("no number"), "ValueError: no number"),
        (KeyError(), "KeyError"),
        (OomctlError("broken", "so it is"), "broken"),
    ],
)
def test_a_check_that_fails_is_a_finding(check, error, says, fit_machine):
    def look(_machine):
        raise error

    (found,) = examine(fit_machine, [replace(check, look=look, after="")]).findings
    assert found.name == check.name
    assert found.state == ("missing" if check.needed else "warning")
    assert says in found.found


def test_without_root_a_finding_says_what_cannot_be_checked(fit_machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fit_machine.said["log"] = PermissionError(errno.EACCES, "Permission denied", "/dev/kmsg")
    found = the(fit_machine, "kernel log")
    assert found.found == "cannot be checked: /dev/kmsg: Permission denied"
    assert found.fix == "run it as root"


FILES_READ = [
    "/proc/self/status",
    "/proc/self/cgroup",
    "/proc/1/comm",
    "/proc/swaps",
    "/proc/meminfo",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/oom_kill_allocating_task",
    "/proc/sys/kernel/printk",
    "/proc/sys/net/core/bpf_jit_enable",
    "/sys/kernel/security/lockdown",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/module/zswap/parameters/enabled",
]
CGROUP_FILES = ["cgroup.controllers", "cgroup.subtree_control", "cgroup.events", "cgroup.procs"]


@ONE_MACHINE
@given(
    st.sampled_from([*FILES_READ, *CGROUP_FILES]),
    st.binary(max_size=200) | st.text("0123456789abcxyz:/ \t\n[]", max_size=80).map(str.encode),
)
def test_any_content_of_a_file_gives_a_finding(any_machine, path, content):
    machine = any_machine()
    if path in CGROUP_FILES:
        target = machine.hierarchy.directory / path
    else:
        target = machine.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
    before = target.read_bytes() if target.exists() else None
    target.write_bytes(content)
    try:
        seen = examine(machine, CHECKS)
        assert len(seen.findings) == len(CHECKS)
    finally:
        target.unlink() if before is None else target.write_bytes(before)


@ONE_MACHINE
@given(st.integers(0, ALL_CAPABILITIES), st.integers(0, ALL_CAPABILITIES))
def test_capabilities_are_bits(any_machine, effective, bounding):
    machine = any_machine()
    machine.status = {"CapEff": f"{effective:016x}", "CapBnd": f"{bounding:016x}"}
    for name, bit in (("CAP_KILL", 5), ("CAP_SYS_RESOURCE", 24)):
        found = the(machine, name)
        assert (found.state == "ok") is bool(effective >> bit & 1)
        assert found.state == "ok" or ("bounding" in found.found) is not bool(bounding >> bit & 1)


@given(st.lists(st.text("abc-", min_size=1), min_size=1), st.data())
def test_the_selected_word(words, data):
    one = data.draw(st.integers(0, len(words) - 1))
    shown = [f"[{word}]" if number == one else word for number, word in enumerate(words)]
    assert selected(" ".join(shown)) == words[one]


@given(st.lists(st.tuples(st.text("/devzram01", min_size=1), st.integers(0, 2**40))))
def test_swap_areas(areas):
    lines = [f"{path}  partition {size}\t0\t-2\n" for path, size in areas]
    text = "Filename\tType\tSize\tUsed\tPriority\n" + "".join(lines)
    assert parse_swaps(text) == [Swap(path, size << 10, 0) for path, size in areas]


@given(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    st.lists(st.sampled_from(["1:name=systemd:/x", "9:memory:/0::/y", ""])),
)
def test_the_v2_line_of_proc_cgroup(path, others):
    text = "\n".join([*others, f"0::/{path}", ""])
    assert procfs.unified_path(text.encode()) == f"/{path}"
    assert procfs.unified_path("\n".join(others).encode()) == "/"
