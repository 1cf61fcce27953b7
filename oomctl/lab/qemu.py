"""The virtual machine, and the command lines that boot it; nothing here starts a program."""

import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oomctl.lab import tools

# A named model makes TCG emulate only what it has. virtme-ng's choice, `max`, double-faults with
# Debian's 6.12 under QEMU 7.2; models before Haswell make glibc slower.
_TCG_CPU = {"x86_64": "Haswell"}
_CONSOLE = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}

# panic and -no-reboot make a panic end QEMU, oops makes a kernel BUG a panic, cgroup_no_v1 leaves
# every controller to cgroup v2. tsc=unstable: TCG takes the TSC from the host and jumps with it (a
# guest was seen 14 minutes ahead), HPET does not. The rest makes a boot under emulation faster.
_KERNEL_OPTIONS = (
    "panic=-1 oops=panic cgroup_no_v1=all psi=1 "
    "mitigations=off nokaslr init_on_alloc=0 random.trust_cpu=on audit=0 apparmor=0 "
    "cryptomgr.notests nowatchdog tsc=unstable no_timer_check"
)


@dataclass(frozen=True)
class Machine:
    """A virtual machine: kernel image, memory as QEMU reads it, and whether KVM runs it."""

    image: Path
    memory: str = "2G"
    cpus: int = 2
    kvm: bool = False
    console: bool = False
    rwdirs: tuple[Path, ...] = ()
    disk: Path | None = None
    """A folder that the guest mounts with a page cache, for hogs of kind `file`."""


def can_be_given(folder: Path) -> bool:
    """Tell whether virtme-ng and QEMU accept the name of a folder."""
    return not re.search(r"[=,\s]", str(folder))


def virtme(machine: Machine, *words: str) -> list[str]:
    """Return the command with which virtme-ng prints how it would start QEMU for this machine.

    `virtme-run`, since `vng` only makes a shell string for it, and reads the user's configuration.
    """
    command = [str(tools.virtme_run()), "--kimg", str(machine.image), "--mods", "auto"]
    command += ["--name", "oomctl-lab", "--memory", machine.memory, "--cpus", str(machine.cpus)]
    # virtiofs would need its daemon: Debian 12's costs three seconds and then fails as root.
    command += ["--force-9p", "--disable-microvm", "--disable-monitor"]
    command += [] if machine.kvm else ["--disable-kvm"]
    for folder in machine.rwdirs:
        command += ["--rwdir", f"{folder}={folder}"]
    # It is last, so that guest-init.sh knows the tag to mount.
    command += ["--rwdir", f"/run/oomctl/disk={machine.disk}"] if machine.disk else []
    # An overlay folder makes virtme-ng add the overlay module; guest-init.sh mounts the overlay.
    command += ["--force-initramfs", "--overlay-rwdir", "/tmp"]  # noqa: S108
    return [*command, "--dry-run", "--show-command", *words]


def with_initramfs(machine: Machine, path: Path) -> list[str]:
    """Return the same command, which then also writes virtme-ng's initramfs to `path`."""
    return virtme(machine, "--save-initramfs", str(path))


def kernel_line(machine: Machine) -> str:
    """Return the kernel command line."""
    console = _CONSOLE.get(platform.machine(), "ttyS0")
    level = "loglevel=7" if machine.console else "quiet loglevel=1"
    return f"console={console} {level} {_KERNEL_OPTIONS}"


def qemu(
    machine: Machine, virtme_output: str, initramfs: str, outputs: Sequence[tuple[str, int]]
) -> list[str]:
    """Return the command that boots, made from the output of virtme-ng.

    `outputs` are port names and file descriptors to write to. QEMU takes the last of each option,
    so -append and -initrd replace virtme-ng's: its own init starts udev and systemd-tmpfiles, 6 of
    9 seconds under emulation.
    """
    words = [*shlex.split(virtme_output.splitlines()[-1]), "-no-reboot"]
    cpu = _TCG_CPU.get(platform.machine())
    if cpu and not machine.kvm:
        words += ["-cpu", cpu]
    words += ["-initrd", initramfs, "-append", kernel_line(machine)]
    words += ["-device", "virtio-serial-pci,id=oomctl"]
    for name, fd in outputs:
        # Without append=on QEMU would truncate the pipe, which fails (util/osdep.c).
        words += ["-add-fd", f"fd={fd},set={fd}"]
        words += ["-chardev", f"file,id={name},path=/dev/fdset/{fd},append=on"]
        words += ["-device", f"virtserialport,bus=oomctl.0,name=oomctl.{name},chardev={name}"]
    return words
