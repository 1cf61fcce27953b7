"""Panics in the console's text, and results about KVM that need no boot."""

import json

import pytest

from oomctl.lab import kvm, vm

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
