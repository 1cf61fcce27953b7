"""What commands that boot a virtual machine share: their options, and the machine."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from oomctl import console
from oomctl.cli import completion, options
from oomctl.cli.options import ExpectConsole, flag, value
from oomctl.errors import UsageError
from oomctl.lab import bytecode, fitness, guest_kernel, guest_root, kernel_option, kvm, tools
from oomctl.lab.architecture import KERNELS
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.qemu import Machine
from oomctl.lab.running import Job
from oomctl.oom.faults import Fault, judge
from oomctl.units import Duration, Size

FAULTY = 123
"""The exit code of a command whose kernel reported a fault that was not expected."""
_SMALLEST, _SMALLEST_NODE = 256 << 20, 64 << 20
_SMALLEST_DISK, _LARGEST_DISK = 16 << 20, 1 << 40
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TIMEOUT = value(
    "TIME",
    "End the guest after this time, such as 90s, 10m or 5 (seconds), boot included.",
    options.duration(1, 366 * 86_400),
)


def _memory(value: str | Size) -> Size:
    """Parse the size of a guest."""
    size = Size(options.size(value))
    if size < _SMALLEST:
        raise typer.BadParameter(f"{value} is too small for a guest to boot; give 256M or more")
    return size


def _disk(value: str | Size) -> Size:
    """Parse the size of a disk: whole MiB."""
    size = Size(options.size(value))
    if not _SMALLEST_DISK <= size <= _LARGEST_DISK:
        raise typer.BadParameter(f"{value} is out of range; it goes from 16M to 1024G")
    return Size(size >> 20 << 20)


def _kernel_word(value: str) -> str:
    """Refuse what would not be one or more words of the kernel command line."""
    if not value.isprintable() or not value.strip():
        raise typer.BadParameter(f"{value!r} is not a word of a kernel command line")
    return value


def require_name(command: Sequence[str]) -> None:
    """Raise UsageError if the first word of a command is empty."""
    if not command[0]:
        raise UsageError("the name of the command is empty", "give COMMAND after `--`")


Command = Annotated[
    list[str],
    typer.Argument(metavar="COMMAND...", help="The command, after `--` and the options."),
]
Kfunc = Annotated[
    bool, flag("--kfunc/--no-kfunc", "Load the module, or not, as on a stock kernel.")
]
Arch = Annotated[
    Literal["amd64", "arm64", "arm64-16k"] | None,
    value(
        "ARCH",
        "Of Debian's kernel: amd64, arm64, or arm64-16k with pages of 16 KiB. One of another "
        "architecture is emulated, and its guest has Debian's programs for it as its root. "
        "[default: this machine's; of a kernel in a file, the file's]",
    ),
]
Env = Annotated[
    list[str] | None,
    value(
        "NAME[=VALUE]",
        "Set a variable for the command, or pass on the caller's; may be repeated. TERM and "
        "OOMCTL_* are always passed on.",
    ),
]


@dataclass(frozen=True)
class MachineOptions:
    """The options of commands that boot a virtual machine; UsageError if a folder is unfit."""

    kernel: Annotated[
        list[str] | None,
        value(
            "KERNEL",
            "stock: Debian's newest that works here; reference: the newest of `oomctl lab build`; "
            "a version such as 6.12: Debian's newest of it; a name of `oomctl lab kernels`; or a "
            "build tree, a folder of unpacked packages, a linux-image package, or an image. May be "
            "repeated, to do the same on each. [default: stock]",
            autocompletion=completion.kernels,
        ),
    ] = None
    arch: Arch = None
    memory: Annotated[Size, value("SIZE", "Memory of the guest, at least 256M.", _memory)] = Size(
        2 << 30
    )
    cpus: Annotated[int, value("N", "Processors of the guest.", options.integer(1, 255))] = 2
    timeout: Annotated[Duration, TIMEOUT] = Duration(600)
    kvm: Annotated[
        Literal["auto", "on", "off"],
        value("auto|on|off", "auto uses KVM only if a probe boot proved that it works."),
    ] = "auto"
    module: options.Module = None
    rwdir: Annotated[
        list[Path] | None,
        value("FOLDER", "Let the guest write to this folder of the host; may be repeated."),
    ] = None
    nodes: Annotated[
        int,
        value(
            "N",
            "NUMA nodes of the guest; memory and processors are spread over them.",
            options.integer(1, 64),
            "--numa-nodes",
        ),
    ] = 1
    disk: Annotated[
        Size | None,
        value(
            "SIZE",
            "Mount an empty disk with ext4 at /var/tmp, thrown away at the end; page cache and "
            "its reclaim are then real. Costs some 2 s of an emulated boot.",
            _disk,
        ),
    ] = None
    swap: Annotated[Size | None, value("SIZE", "Give the guest a swap disk.", _disk)] = None
    zram: Annotated[
        Size | None, value("SIZE", "Give the guest swap in compressed memory (zram).", _disk)
    ] = None
    append: Annotated[
        list[str] | None,
        value(
            "WORD",
            "Append this to the kernel command line, such as hugepages=8; may be repeated.",
            _kernel_word,
        ),
    ] = None
    forward: Annotated[
        int | None,
        value(
            "PORT",
            "Connect this TCP port of 127.0.0.1 with /run/oomctl/oomctl.forward in the guest, one "
            "connection at a time.",
            options.integer(1, 65_535),
        ),
    ] = None
    console: Annotated[
        bool, flag("--console", "Show the kernel's console on stderr, all levels.")
    ] = False
    restore: Annotated[
        bool,
        flag(
            "--restore/--no-restore",
            "Restore a machine that was saved when it was up, instead of booting; or always boot. "
            "Those that KVM runs, and those with --console, boot.",
        ),
    ] = True
    expect_console: ExpectConsole = None

    def __post_init__(self) -> None:
        """Check the folders, and that each node has memory to boot with."""
        if self.memory // self.nodes < _SMALLEST_NODE:
            raise UsageError(
                f"--numa-nodes {self.nodes}: less than 64M of --memory for each",
                "give fewer nodes, or more memory",
            )
        for folder in self.rwdir or ():
            if not folder.is_dir():
                raise UsageError(f"--rwdir: {folder} is not a folder", "make it first")

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels, as they were named."""
        return tuple(self.kernel or ["stock"])

    @property
    def only_kernel(self) -> str:
        """The kernel of a command that boots one guest; UsageError if there are several."""
        if len(self.kernels) > 1:
            raise UsageError(
                f"{len(self.kernels)} kernels are given, and this boots one guest",
                "give --kernel once",
            )
        return self.kernels[0]

    def machine(self, host: "Host") -> Machine:
        """Return the machine that boots what is ready."""
        return Machine(
            host.kernel.image,
            self.memory >> 20,
            self.cpus,
            host.kvm,
            self.console,
            tuple(folder.absolute() for folder in self.rwdir or ()),
            nodes=self.nodes,
            scratch=self.disk or 0,
            swap=self.swap or 0,
            zram=self.zram or 0,
            append=tuple(self.append or ()),
            forward=self.forward or 0,
            architecture=host.kernel.architecture,
            root=host.root,
            rodirs=guest_root.folders(host.root, Path.cwd(), host.kernel.modules),
            saves=self.restore and not self.console and host.saves,
        )


@dataclass(frozen=True)
class Host:
    """What is ready for a boot: kernel, module if one is to be loaded, whether KVM works, root."""

    kernel: Kernel
    kvm: bool
    module: Path | None
    look: bool
    root: Path = Path("/")

    @property
    def saves(self) -> bool:
        """Whether a machine can be saved and be of use: the kernel must notice that it is a copy.

        Else all copies would have the same random numbers (drivers/virt/vmgenid.c).
        """
        notices = (self.kernel.config or {}).get("VMGENID") == "y"
        return notices and self.kernel.architecture.saves and not self.kvm

    @property
    def python(self) -> str:
        """The Python that runs oomctl in the guest."""
        return sys.executable if self.kernel.architecture.is_native else guest_root.PYTHON

    def job(self, words: Sequence[str], environment: Mapping[str, str], cwd: str) -> Job:
        """Return what the guest is to run; of another architecture it has its own Python."""
        if not self.kernel.architecture.is_native:
            environment = {**environment, **guest_root.environment()}
        return Job(tuple(words), environment, cwd, self.module, self.look, self.kernel.modules)


@contextmanager
def ready(given: MachineOptions, kernel: str, kfunc: bool) -> Iterator[Host]:
    """Get everything ready that a boot needs, and keep it from being removed for the block.

    Raises the errors of what it fetches and builds, and those of a kernel that is not fit.
    """
    tools.require(KERNELS.get(given.arch or ""))
    module = given.module
    with ExitStack() as stack:
        chosen = stack.enter_context(kernel_option.in_use(kernel, given.arch or ""))
        tools.require(chosen.architecture)
        fitness.require(chosen, kfunc, module)
        if unknown := fitness.unknown(chosen):
            console.note(unknown)
        look = kfunc and module is None and chosen.provides is None
        if kfunc and module is None:
            module = stack.enter_context(guest_kernel.module_in_use(chosen))
        root = stack.enter_context(guest_root.in_use(chosen.architecture))
        accelerated = given.kvm == "on"
        if given.kvm == "auto":
            accelerated = chosen.architecture.is_native and kvm.works(chosen.image)
        bytecode.prepare()
        how = "KVM" if accelerated else "emulation"
        console.progress(f"starting a guest with {chosen.release} under {how}")
        yield Host(chosen, accelerated, module, look, root)


@contextmanager
def all_ready(given: MachineOptions, kfunc: bool = True) -> Iterator[list[tuple[str, Host]]]:
    """Yield ready() of each kernel by its name, before anything boots; a second one is NAME (2)."""
    with ExitStack() as stack:
        hosts: list[tuple[str, Host]] = []
        for number, name in enumerate(given.kernels):
            host = stack.enter_context(ready(given, name, kfunc))
            same = given.kernels[:number].count(name)
            hosts.append((f"{name} ({same + 1})" if same else name, host))
        yield hosts


def faults_are_good(faults: Sequence[Fault], expected: Sequence[str], suffix: str = "") -> bool:
    """Tell whether the kernel reported just what was expected; if not, show what differs."""
    judged = judge(faults, expected)
    for fault in judged.unexpected:
        console.note(f"kernel-fault: {fault.title}{suffix}")
        for line in fault.lines:
            print(f"  {line}", file=sys.stderr)
    for pattern in judged.missing:
        console.note(f"--expect-console {pattern!r}: the kernel reported no such fault")
    return judged.good


def outputs() -> tuple[int, int]:
    """Return the descriptors that stdout and stderr of a guest's command go to."""
    sys.stdout.flush()
    return sys.stdout.fileno(), sys.stderr.fileno()


def environment(wanted: Sequence[str]) -> dict[str, str]:
    """Return the command's environment: a few variables of its own, and those of `--env`."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    made = {"PATH": f"{Path(sys.executable).parent}:{system}", "HOME": "/root"}
    made |= {"USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "TERM": "dumb"}
    passing = (name for name in os.environ if name == "TERM" or name.startswith("OOMCTL_"))
    made |= {name: os.environ[name] for name in passing if _VARIABLE.fullmatch(name)}
    for text in wanted:
        name, given, value = text.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"--env {text!r}: {name!r} is not the name of a variable", "write NAME=VALUE"
            )
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: not set here, so there is nothing to pass on")
        made[name] = value if given else os.environ[name]
    return made
