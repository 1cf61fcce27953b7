"""Panics in the console's text, and results about KVM that need no boot."""

import json
import shutil
from pathlib import Path

import pytest

from oomctl.errors import OomctlError
from oomctl.lab import kvm, vm
from oomctl.lab.boot import Job
from oomctl.lab.guest_log import GuestLog
from oomctl.lab.qemu import Machine
from oomctl.lab.vm import Ending

PANIC = """\
[    4.796241] sysrq: Trigger a crash
[    4.796250] Kernel panic - not syncing: sysrq triggered crash
[    4.796300] CPU: 0 UID: 0 PID: 166 Comm: sh Tainted: G           OE      6.12.95+deb12-amd64 #1
[    4.800261] Kernel Offset: disabled
"""


def test_panic_is_found_with_its_reason():
    assert vm.panic(PANIC) == "sysrq triggered crash"
    init = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r"
    assert vm.panic(init) == "Attempted to kill init! exitcode=0x00000100"


@pytest.mark.parametrize("text", ["", "[ 1.0] systemd: not a panic\n", "Kernel panic"])
def test_no_panic(text):
    assert vm.panic(text) is None


def test_a_kernel_that_misses_its_root_has_booted():
    assert kvm.booted(b"VFS: Unable to mount root fs on unknown-block(0,0)\r\n")
    assert not kvm.booted(b"Linux version 6.12.95+deb12-amd64\r\n")
    assert not kvm.booted(b"")


def test_a_result_about_kvm_is_for_one_boot_and_one_qemu(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "_present", lambda: True)
    monkeypatch.setattr(kvm, "_host", lambda: ["boot 1", "qemu"])
    assert kvm.known() is None
    monkeypatch.setattr(kvm, "_probe", lambda image: True)
    assert kvm.works(tmp_path) is True
    monkeypatch.setattr(kvm, "_probe", lambda image: pytest.fail("probed again"))
    assert kvm.works(tmp_path) is True
    monkeypatch.setattr(kvm, "_host", lambda: ["boot 2", "qemu"])
    assert kvm.known() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"host": None})])
def test_a_malformed_result_about_kvm_is_ignored(monkeypatch, tmp_path, text):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "_present", lambda: True)
    monkeypatch.setattr(kvm, "_host", lambda: ["boot"])
    (tmp_path / "kvm.json").write_text(text)
    assert kvm.known() is None


def test_no_device_means_no_kvm_without_a_boot(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "_present", lambda: False)
    monkeypatch.setattr(kvm, "_probe", lambda image: pytest.fail("booted"))
    assert kvm.works(tmp_path) is False


JOB = Job(("x",), {}, "/")
DEAD = Ending(None, False, None, 3.0, PANIC, "it was switched off")


@pytest.mark.parametrize(
    ("first", "boots"),
    [
        (DEAD, 2),
        (Ending(None, False, None, 3.0, "", "it was switched off"), 1),  # nothing to be seen
        (Ending(None, True, None, 3.0, PANIC), 1),
        (Ending(None, False, 2.0, 3.0, PANIC), 1),
        (Ending(1, False, 2.0, 3.0, ""), 1),
    ],
)
def test_a_guest_that_dies_before_its_command_is_booted_once_more(
    monkeypatch, tmp_path, capsys, first, boots
):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    endings, left = [first, DEAD], []

    def boot(_vm, _job, timeout, _out, _err):
        left.append(timeout)
        return endings.pop(0)

    monkeypatch.setattr(vm, "run_once", boot)
    ending = vm.run(Machine(Path("/x")), JOB, 100, None, None)
    assert left == [100, 97][:boots]
    assert ending.total == 3 * boots
    said = capsys.readouterr().err
    kept = [*tmp_path.glob("consoles/*.txt")]
    assert len(kept) == said.count("booting it once more") == boots - 1
    if kept:
        assert kept[0].read_text() == f"{PANIC}\n"
        assert f"(sysrq triggered crash), its console is in {kept[0]};" in said


def test_only_the_kernels_own_records_are_scanned_and_each_once():
    log = GuestLog("ab12")
    records = (
        b"6,1,5,-;hello\n KEY=value\n"
        b"4,2,6,-;WARNING: CPU: 0 PID: 1 at a.c:1 f\n"
        b"12,3,7,-;Kernel panic - not syncing: by a user\n"
        b"4,2,6,-;WARNING: CPU: 0 PID: 1 at a.c:1 f\n"
        b"14,4,8,-;oomctl-lab: ab12\n"
    )
    for start in range(0, len(records), 7):
        assert not log.ended
        log.take(records[start : start + 7])
    assert log.ended
    [fault] = log.faults
    assert fault.title == "warn: WARNING: CPU: 0 PID: 1 at a.c:1 f"


def test_a_cache_without_room_for_a_boot(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(OomctlError, match=f"booting a guest needs 96M below {tmp_path}, and 1"):
        vm.run(Machine(Path("/x")), JOB, 100, None, None)
    assert not [*tmp_path.iterdir()]
