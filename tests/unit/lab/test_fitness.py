"""Kernels that are not fit for a guest: each is told before a boot, in one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import kbuild
from oomctl.lab import fitness
from oomctl.lab.guest_kernel import Kernel
from tests.elf import elf_file, module_file
from tests.unit.lab.images import BUILT_IN, FIT

KERNEL = Kernel("7.3.4", Path("/k/vmlinuz"), None, True, None, kbuild.parse_config(BUILT_IN), True)


def without(*options):
    return replace(KERNEL, config={k: v for k, v in KERNEL.config.items() if k not in options})


def test_a_fit_kernel():
    fitness.require(KERNEL, kfunc=True)
    fitness.require(replace(KERNEL, config=None, btf=None, unread="x"), kfunc=True)
    modular = replace(KERNEL, config=kbuild.parse_config(FIT), modules=Path("/k/modules"))
    fitness.require(modular, kfunc=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["MEMCG"], "without CONFIG_MEMCG (for memory cgroups)"),
        (["VIRTIO_PCI"], "without CONFIG_VIRTIO_PCI (for its machine)"),
        (
            ["9P_FS", "NET_9P_VIRTIO"],
            "without CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO (for this machine's files)",
        ),
        (["BPF_SYSCALL"], "without CONFIG_BPF_SYSCALL (for BPF programs)"),
        (["DEBUG_INFO_BTF"], "without CONFIG_DEBUG_INFO_BTF (for the kfunc)"),
        (
            ["MEMCG", "BPF_JIT"],
            "without CONFIG_MEMCG (for memory cgroups), CONFIG_BPF_JIT (for BPF programs)",
        ),
    ],
)
def test_an_option_that_is_off(options, said):
    with pytest.raises(UnsupportedError) as caught:
        fitness.require(without(*options), kfunc=True)
    assert f"the kernel 7.3.4 (/k/vmlinuz) is built {said}; " in str(caught.value)


def test_without_the_kfunc_bpf_is_not_asked_for():
    fitness.require(without("BPF_SYSCALL", "DEBUG_INFO_BTF"), kfunc=False)
    with pytest.raises(UnsupportedError, match="CONFIG_MEMCG"):
        fitness.require(without("MEMCG"), kfunc=False)


def test_a_vmlinux_that_qemu_cannot_boot(tmp_path):
    (tmp_path / "vmlinux").write_bytes(elf_file("x"))
    kernel = replace(KERNEL, image=tmp_path / "vmlinux")
    with pytest.raises(UnsupportedError, match="is a vmlinux built without CONFIG_PVH"):
        fitness.require(kernel, kfunc=True)
    fitness.require(replace(kernel, config=KERNEL.config | {"PVH": "y"}), kfunc=True)


def test_options_in_modules_that_are_not_there():
    modular = replace(KERNEL, config=kbuild.parse_config(FIT))
    with pytest.raises(UnsupportedError, match=r"CONFIG_9P_FS, .* in modules, and there are no"):
        fitness.require(modular, kfunc=True)


def test_an_image_without_btf():
    with pytest.raises(UnsupportedError, match="has no BTF, by which programs find the kfunc"):
        fitness.require(replace(KERNEL, config=None, btf=False), kfunc=True)


@pytest.mark.parametrize(("release", "old"), [("6.1.0-50-amd64", True), ("6.12.95", False)])
def test_a_kernel_that_is_too_old(release, old, tmp_path):
    kernel = replace(KERNEL, release=release, provides=False)
    module = tmp_path / "x.ko"
    module.write_bytes(module_file(release))
    fitness.require(replace(kernel, provides=True), kfunc=True)
    fitness.require(kernel, kfunc=False)
    fitness.require(kernel, kfunc=True, given=module)
    if old:
        with pytest.raises(UnsupportedError, match=r"is too old: .* Linux 6.12 is the oldest"):
            fitness.require(kernel, kfunc=True)
    else:
        fitness.require(kernel, kfunc=True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"root:x:0:0\n", "is not a kernel module"),
        (elf_file("x"), "is not a kernel module"),
        (module_file("6.12.95"), "was built for 6.12.95, and the kernel is 7.3.4"),
    ],
)
def test_a_module_for_another_kernel(tmp_path, data, why):
    (tmp_path / "x.ko").write_bytes(data)
    with pytest.raises(UsageError, match=why):
        fitness.require(KERNEL, kfunc=True, given=tmp_path / "x.ko")


def test_what_is_not_known_is_said():
    assert fitness.unknown(KERNEL) == ""
    unread = replace(KERNEL, config=None, unread="zstd is not on this machine")
    said = "cannot read the configuration of /k/vmlinuz: zstd is not on this machine"
    assert fitness.unknown(unread) == said
