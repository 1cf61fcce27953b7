"""The command lines that boot a machine."""

import platform
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.lab import qemu, tools
from oomctl.lab.architecture import ARM
from oomctl.lab.qemu import Machine, Wiring

IMAGE = Path("/k/boot/vmlinuz-6.12")


@pytest.fixture(autouse=True)
def fixed(monkeypatch):
    monkeypatch.setattr(tools, "virtme_run", lambda: Path("/v/virtme-run"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def after(words, option):
    return [words[i + 1] for i, word in enumerate(words) if word == option]


SAID = (
    "a warning\n/usr/bin/qemu-x -m '2048 M' -cpu max -device virtio-serial-pci "
    "-device virtconsole,chardev=dmesg -initrd /tmp/x -append 'init=y z'\n"
)


def boot(**options):
    vm = Machine(IMAGE, **options)
    wiring = Wiring(
        "/r/initramfs", (("stdout", 7), ("stderr", 9)), 11, 12, (("scratch", 13), ("swap", 14))
    )
    return qemu.qemu(vm, SAID, wiring)


def test_emulation_names_a_processor_that_boots_and_turns_kvm_off():
    assert "--disable-kvm" in qemu.virtme(Machine(IMAGE))
    assert after(boot(), "-cpu") == ["max", "Haswell"]
    assert after(boot(), "-accel") == ["tcg,thread=single"]


def test_kvm_leaves_the_processor_to_virtme():
    assert "--disable-kvm" not in qemu.virtme(Machine(IMAGE, kvm=True))
    assert after(boot(kvm=True), "-cpu") == ["max"]


def test_folders_have_the_tags_that_the_guest_mounts_and_the_inner_ones_come_last():
    machine = {
        "rodirs": (Path("/home/me/oomctl"), Path("/srv")),
        "rwdirs": (Path("/srv/a"), Path("/b =,c")),
        "disk": Path("/c/disk"),
    }
    shares = qemu.shares(Machine(IMAGE, **machine))
    assert [(shares[f"share{n}"], shares[f"how{n}"]) for n in range(shares["shares"])] == [
        ("/home/me/oomctl", "ro,cache=loose"),
        ("/srv", "ro,cache=loose"),
        ("/srv/a", "rw"),
        ("/b =,c", "rw"),
    ]
    how = "security_model=none,multidevs=remap"
    assert after(boot(**machine), "-fsdev") == [
        f"local,id=share0,path=/home/me/oomctl,{how},readonly=on",
        f"local,id=share1,path=/srv,{how},readonly=on",
        f"local,id=share2,path=/srv/a,{how}",
        f"local,id=share3,path=/b =,,c,{how}",
        f"local,id=disk,path=/c/disk,{how}",
    ]
    tags = [word for word in boot(**machine) if word.startswith("virtio-9p-pci,fsdev=share2")]
    assert tags == ["virtio-9p-pci,fsdev=share2,mount_tag=oomctl.share2"]


def test_what_virtme_says_is_extended():
    words = boot()
    assert words[:5] == ["/usr/bin/qemu-x", "-m", "2048 M", "-cpu", "max"]
    assert "-no-reboot" in words
    assert after(words, "-initrd") == ["/r/initramfs"]


def test_a_restored_machine_has_the_devices_of_the_saved_one_and_no_initramfs():
    given = {"disk": Path("/c/one"), "forward": 7, "saves": True}
    wiring = Wiring("/r/initramfs", (("stdout", 7),), 11, 12, (("swap", 14),), monitor=15)
    saved = qemu.qemu(Machine(IMAGE, **given), SAID, wiring)
    again = replace(wiring, initramfs="", monitor=None, saved="/c/it's/state")
    restored = qemu.qemu(Machine(IMAGE, **given), SAID, again)
    assert after(restored, "-device") == after(saved, "-device")
    assert "vmgenid,guid=auto" in after(restored, "-device")
    assert after(saved, "-mon") == ["chardev=monitor,mode=control"]
    assert (after(restored, "-mon"), after(restored, "-initrd")) == ([], [])
    (incoming,) = after(restored, "-incoming")
    assert shlex.split(incoming.removeprefix("exec:")) == ["cat", "/c/it's/state"]
    assert "vmgenid,guid=auto" not in boot()


def test_streams_go_to_descriptors_through_named_ports():
    words = boot()
    assert after(words, "-add-fd") == ["fd=7,set=7", "fd=9,set=9"]
    assert after(words, "-chardev") == [
        "file,id=stdout,path=/dev/fdset/7,append=on",
        "file,id=stderr,path=/dev/fdset/9,append=on",
        "socket,id=control,fd=11",
        "socket,id=terminal,fd=12",
    ]
    assert "virtserialport,bus=oomctl.0,name=oomctl.stderr,chardev=stderr" in words


def test_kernel_line_is_silent_but_for_a_panic():
    options = after(boot(), "-append")[-1].split()
    assert {"console=ttyS0", "loglevel=1", "panic=-1", "cgroup_no_v1=all"} <= set(options)
    assert "loglevel=7" in after(boot(console=True), "-append")[-1].split()


def test_initramfs_is_made_and_nothing_is_booted():
    words = qemu.with_initramfs(Machine(IMAGE), Path("/r/initramfs"))
    assert after(words, "--save-initramfs") == ["/r/initramfs"]
    assert after(words, "--mods") == ["auto"]
    assert "--dry-run" in words


def test_disks_are_told_apart_by_their_serial_numbers():
    words = boot()
    assert [drive.split(",")[1:3] for drive in after(words, "-drive")] == [
        ["id=scratch", "file=/proc/self/fd/13"],
        ["id=swap", "file=/proc/self/fd/14"],
    ]
    assert "virtio-blk-pci,drive=swap,serial=oomctl-swap" in words


def test_nodes_share_memory_and_processors():
    words = boot(memory_mib=1001, cpus=3, nodes=2)
    assert after(words, "-object") == [
        "memory-backend-ram,id=node0,size=501M",
        "memory-backend-ram,id=node1,size=500M",
    ]
    assert after(words, "-numa") == [
        "node,nodeid=0,memdev=node0,cpus=0,cpus=2",
        "node,nodeid=1,memdev=node1,cpus=1",
    ]
    assert not after(boot(), "-numa")


def test_words_of_the_user_come_last_on_the_kernel_line():
    assert after(boot(append=("panic=5", "a b")), "-append")[-1].endswith(" panic=5 a b")


def test_a_forwarded_port_is_one_of_this_machine_alone():
    words = boot(forward=2022)
    assert "socket,id=forward,host=127.0.0.1,port=2022,server=on,wait=off" in words
    assert "virtserialport,bus=oomctl.0,name=oomctl.forward,chardev=forward" in words
    assert "forward" not in " ".join(boot())


ARM_GUEST = {
    "architecture": ARM,
    "root": Path("/c/roots/arm64"),
    "rodirs": (Path("/home/me/oomctl"), Path("/srv")),
}


def test_another_architecture_has_its_own_root_processor_and_console():
    words = qemu.virtme(Machine(IMAGE, **ARM_GUEST))
    assert (after(words, "--arch"), after(words, "--root")) == (["aarch64"], ["/c/roots/arm64"])
    assert after(boot(**ARM_GUEST), "-cpu") == ["max", "neoverse-n1"]
    line = qemu.kernel_line(Machine(IMAGE, **ARM_GUEST))
    assert line.startswith("console=ttyAMA0 ")
    assert "tsc=" not in line
    native = Machine(IMAGE)
    assert "tsc=unstable" in qemu.kernel_line(native)
    assert after(qemu.virtme(native), "--root") == ["/"]


def test_a_full_disk_of_this_machine_is_an_error_in_the_guest_and_does_not_stop_it():
    assert all(drive.endswith(",werror=report") for drive in after(boot(), "-drive"))
