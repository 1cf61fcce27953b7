"""What the tests of `oomctl lab` have in common: no machine boots."""

import os
from pathlib import Path

import pytest

from oomctl.cli import guest
from oomctl.lab import (
    kvm,
    stock,
    tools,
    vm,
)
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.vm import Ending
from tests.elf import elf_file, module_file
from tests.unit.lab.images import BUILT_IN, FIT, bzimage, compressed, vmlinux

KERNEL = Kernel("6.12", Path("/k/vmlinuz"), None, provides=True)


@pytest.fixture(autouse=True)
def nothing_boots(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tools, "require", lambda _guest=None: None)
    monkeypatch.setattr(tools, "virtme_run", lambda: Path("/v/virtme-run"))
    monkeypatch.setattr(kvm, "works", lambda image: False)
    monkeypatch.setattr(kvm, "known", lambda: False)
    monkeypatch.setattr(stock, "chosen", lambda _arch="": KERNEL)


@pytest.fixture
def boots(monkeypatch):
    """Take what would be booted; answer with the ending that the test sets."""
    seen = []
    endings = [Ending(0, False, 2.0, 3.0, "")]

    def run(machine, job, timeout, out, err):
        seen.append((machine, job, timeout))
        return endings[-1]

    monkeypatch.setattr(vm, "run", run)
    # typer's runner has no descriptors behind its streams.
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    seen.append(endings)
    return seen


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Files that --kernel may name; the stock kernel is one of them."""
    gz = "gzip"
    fit = compressed(vmlinux(), gz)
    bzimage(tmp_path / "fit", payload=fit)
    for name, config in (
        ("no-memcg", BUILT_IN.replace("CONFIG_MEMCG=y", "")),
        ("no-9p", BUILT_IN.replace("CONFIG_9P_FS=y", "")),
        ("no-virtio", BUILT_IN.replace("CONFIG_VIRTIO_PCI=y", "")),
        ("no-bpf", BUILT_IN.replace("CONFIG_BPF_SYSCALL=y", "")),
        ("modular", FIT),
    ):
        bzimage(tmp_path / name, "7.3.4", payload=compressed(vmlinux(config), gz))
    bzimage(tmp_path / "no-btf", payload=compressed(vmlinux(None, btf=False), gz))
    bzimage(tmp_path / "old", "6.1.0", payload=compressed(vmlinux(kfunc=False), gz))
    bzimage(tmp_path / "cut", payload=fit, pages=9)
    os.truncate(tmp_path / "cut", 0x5000)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "nothing-in-it").mkdir()
    (tmp_path / "other.ko").write_bytes(module_file("6.1.0"))
    (tmp_path / "text.ko").write_bytes(elf_file("x"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vm, "run", lambda *_: pytest.fail("booted"))
    return tmp_path
