"""The virtual machine, and the command lines that boot it; nothing here starts a program."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oomctl.lab import architecture, tools
from oomctl.lab.architecture import Architecture

# panic and -no-reboot make a panic end QEMU, oops makes a kernel BUG a panic, cgroup_no_v1 leaves
# every controller to cgroup v2. panic_print=32 prints the whole kernel log on a panic, since the
# console is quiet before. The rest makes a boot under emulation faster.
_KERNEL_OPTIONS = (
    "panic=-1 oops=panic cgroup_no_v1=all psi=1 "
    "mitigations=off nokaslr init_on_alloc=0 random.trust_cpu=on audit=0 apparmor=0 "
    "cryptomgr.notests nowatchdog panic_print=32"
)


@dataclass(frozen=True)
class Machine:
    """A virtual machine: kernel image, memory in MiB, and whether KVM runs it."""

    image: Path
    memory_mib: int = 2048
    cpus: int = 2
    kvm: bool = False
    console: bool = False
    rwdirs: tuple[Path, ...] = ()
    disk: Path | None = None
    """A folder that the guest mounts with a page cache, for hogs of kind `file`."""
    nodes: int = 1
    """NUMA nodes, over which memory and processors are spread."""
    scratch: int = 0
    """Bytes of a disk with ext4 at /var/tmp; 0 for none."""
    swap: int = 0
    """Bytes of a swap disk; 0 for none."""
    zram: int = 0
    """Bytes of swap in compressed memory; 0 for none."""
    needs_zram: bool = True
    """Whether it is of no use on a kernel without zram."""
    append: tuple[str, ...] = ()
    """Words for the kernel command line, after the lab's own."""
    forward: int = 0
    """A TCP port of this machine that leads to a virtio port of the guest; 0 for none."""
    architecture: Architecture = field(default_factory=architecture.native)
    root: Path = Path("/")
    """The folder that is the guest's root, of which nothing is written."""
    rodirs: tuple[Path, ...] = ()
    """Folders of this machine that the guest sees beside its root."""
    saves: bool = False
    """Whether it may be saved, and restored instead of booted (lab/saved.py)."""


@dataclass(frozen=True)
class Wiring:
    """QEMU's ends of what is connected to a machine: file descriptors, some by their names.

    `outputs` are virtio ports that the guest writes to, `control` is one that it reads, `terminal`
    its hvc0; `drives` are disks. `monitor` takes QEMU's commands, `saved` is the file of a machine
    that is restored.
    """

    initramfs: str
    outputs: tuple[tuple[str, int], ...]
    control: int
    terminal: int
    drives: tuple[tuple[str, int], ...] = ()
    monitor: int | None = None
    saved: str = ""

    @property
    def fds(self) -> list[int]:
        """All descriptors."""
        named = [fd for _, fd in (*self.outputs, *self.drives)]
        more = [] if self.monitor is None else [self.monitor]
        return [*named, self.control, self.terminal, *more]


def virtme(machine: Machine, *words: str) -> list[str]:
    """Return the command with which virtme-ng prints how it would start QEMU for this machine.

    `virtme-run`, since `vng` only makes a shell string for it, and reads the user's configuration.
    """
    command = [str(tools.virtme_run()), "--kimg", str(machine.image), "--mods", "auto"]
    command += ["--name", "oomctl-lab", "--memory", f"{machine.memory_mib}M"]
    command += ["--cpus", str(machine.cpus)]
    # virtiofs would need its daemon: Debian 12's costs three seconds and then fails as root.
    command += ["--force-9p", "--disable-microvm", "--disable-monitor"]
    command += [] if machine.kvm else ["--disable-kvm"]
    command += ["--arch", machine.architecture.machine, "--root", str(machine.root)]
    # An overlay folder makes virtme-ng add the overlay module; guest-init.sh mounts the overlay.
    command += ["--force-initramfs", "--overlay-rwdir", "/tmp"]  # noqa: S108
    return [*command, "--dry-run", "--show-command", *words]


def with_initramfs(machine: Machine, path: Path) -> list[str]:
    """Return the same command, which then also writes virtme-ng's initramfs to `path`."""
    return virtme(machine, "--save-initramfs", str(path))


def kernel_line(machine: Machine) -> str:
    """Return the kernel command line."""
    console = f"console={machine.architecture.console}"
    level = "loglevel=7" if machine.console else "quiet loglevel=1"
    own = machine.architecture.options.split()
    return " ".join([console, level, _KERNEL_OPTIONS, *own, *machine.append])


def shares(machine: Machine) -> dict[str, str | int]:
    """Return the guest's settings for mounts of folders, those inside of others last."""
    settings: dict[str, str | int] = {"shares": len(machine.rodirs) + len(machine.rwdirs)}
    how = ["ro,cache=loose"] * len(machine.rodirs) + ["rw"] * len(machine.rwdirs)
    for at, folder in enumerate(machine.rodirs + machine.rwdirs):
        settings |= {f"share{at}": str(folder), f"how{at}": how[at]}
    return settings


def _folders(machine: Machine) -> Iterator[str]:
    """Yield the words for folders of this machine, whose tags guest-run.sh mounts."""
    given = [(f"share{at}", each) for at, each in enumerate(machine.rodirs + machine.rwdirs)]
    for name, folder in given + ([("disk", machine.disk)] if machine.disk else []):
        path = str(folder).replace(",", ",,")  # how QEMU quotes (util/qemu-option.c)
        readonly = ",readonly=on" if folder in machine.rodirs else ""
        how = f"security_model=none,multidevs=remap{readonly}"
        yield from ("-fsdev", f"local,id={name},path={path},{how}")
        yield from ("-device", f"virtio-9p-pci,fsdev={name},mount_tag=oomctl.{name}")


def qemu(machine: Machine, virtme_output: str, wiring: Wiring) -> list[str]:
    """Return the command that boots, made from the output of virtme-ng.

    QEMU takes the last of each option, so -append replaces virtme-ng's: its own init starts udev
    and systemd-tmpfiles, 6 of 9 seconds under emulation. A restored machine has the same devices as
    the one that was saved, which alone has a monitor.
    """
    words = [*_taken(shlex.split(virtme_output.splitlines()[-1])), "-no-reboot"]
    words += () if machine.kvm else machine.architecture.emulated
    words += ["-append", kernel_line(machine)]
    restored = ["-incoming", f"exec:cat {shlex.quote(wiring.saved)}"]
    words += restored if wiring.saved else ["-initrd", wiring.initramfs]
    # a new identity makes the kernel seed its random numbers anew (drivers/virt/vmgenid.c)
    words += ["-device", "vmgenid,guid=auto"] if machine.saves else []
    words += _folders(machine)
    words += _numa(machine) if machine.nodes > 1 else []
    words += ["-device", "virtio-serial-pci,id=oomctl"]
    for name, fd in wiring.outputs:
        # Without append=on QEMU would truncate the pipe, which fails (util/osdep.c).
        words += ["-add-fd", f"fd={fd},set={fd}"]
        words += ["-chardev", f"file,id={name},path=/dev/fdset/{fd},append=on"]
        words += ["-device", f"virtserialport,bus=oomctl.0,name=oomctl.{name},chardev={name}"]
    words += ["-chardev", f"socket,id=control,fd={wiring.control}"]
    words += ["-device", "virtserialport,bus=oomctl.0,name=oomctl.control,chardev=control"]
    words += ["-chardev", f"socket,id=terminal,fd={wiring.terminal}"]
    words += ["-device", "virtconsole,bus=oomctl.0,chardev=terminal"]
    if machine.forward:  # a kernel without network drivers has virtio ports
        where = f"host=127.0.0.1,port={machine.forward},server=on,wait=off"
        words += ["-chardev", f"socket,id=forward,{where}"]
        words += ["-device", "virtserialport,bus=oomctl.0,name=oomctl.forward,chardev=forward"]
    if wiring.monitor is not None:
        words += ["-chardev", f"socket,id=monitor,fd={wiring.monitor}"]
        words += ["-mon", "chardev=monitor,mode=control"]
    for name, fd in wiring.drives:
        file = f"file=/proc/self/fd/{fd},file.locking=off,format=raw,cache=unsafe,discard=unmap"
        # else QEMU stops the guest while this machine has no room for what it writes
        file += ",werror=report"
        words += ["-drive", f"if=none,id={name},{file}"]
        words += ["-device", f"virtio-blk-pci,drive={name},serial=oomctl-{name}"]
    return words


def _taken(words: list[str]) -> Iterator[str]:
    """Leave out virtme-ng's virtio console, since ours is to be hvc0, and its initramfs."""
    console = ("virtconsole", "virtio-serial-")
    for before, word, following in zip(["", *words[:-1]], words, [*words[1:], ""], strict=True):
        is_console = word.startswith(console) or following.startswith(console)
        if not is_console and "-initrd" not in (before, word):
            yield word


def _numa(machine: Machine) -> list[str]:
    """Spread memory, in MiB, and processors over the nodes; a node may have no processor."""
    size, words = machine.memory_mib, []
    for node in range(machine.nodes):
        part = size // machine.nodes + (size % machine.nodes if node == 0 else 0)
        cpus = "".join(f",cpus={cpu}" for cpu in range(node, machine.cpus, machine.nodes))
        words += ["-object", f"memory-backend-ram,id=node{node},size={part}M"]
        words += ["-numa", f"node,nodeid={node},memdev=node{node}{cpus}"]
    return words
